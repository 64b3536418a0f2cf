/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts to the guest and kicks from it, as KVM objects: one GSI for each vCPU's VMBus interrupt source with any
 * number of irqfds on it, one ioeventfd for each connection. Context: any thread, but where it says otherwise.
 */
#ifndef VMWORKER_IRQ_H
#define VMWORKER_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm.h"

struct irq;

/** irq_new - @kvm must live as long. Return: 0 or a negative errno. */
int irq_new(struct kvm *kvm, uint32_t cpus, struct irq **ret_irq);
/** irq_free - also takes down what is still assigned. NULL is allowed. */
void irq_free(struct irq *irq);

/** irq_set_vector - @vp's irqfds raise @vector from now on; 0: what comes is dropped. */
int irq_set_vector(struct irq *irq, uint32_t vp, uint8_t vector);

/** irq_inject - one edge interrupt of @vector at @vp. */
void irq_inject(struct irq *irq, uint32_t vp, uint8_t vector);

/** irq_line - the level of IOAPIC pin @gsi. */
void irq_line(struct irq *irq, uint32_t gsi, bool level);

/** irq_assign - writing @eventfd interrupts @vp; assigning again moves it, and nothing written in between is lost. If it
 * cannot be moved, it stays where it was. Return: 0 or a negative errno. */
int irq_assign(struct irq *irq, uint32_t vp, int eventfd);
void irq_release(struct irq *irq, int eventfd);

/** irq_kick_assign - the guest's HvSignalEvent of @connection_id fires @eventfd. Return: 0, -EEXIST, or another
 * negative errno. */
int irq_kick_assign(struct irq *irq, uint32_t connection_id, int eventfd);
void irq_kick_release(struct irq *irq, uint32_t connection_id, int eventfd);

/** irq_kick - fire a connection's eventfd ourselves (the slow form of HvSignalEvent). Return: 0 or -ENOENT. */
int irq_kick(struct irq *irq, uint32_t connection_id);

#endif
