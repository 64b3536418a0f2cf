// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "hv/hv.h"
#include "irq.h"

/* An eventfd bound to a vCPU (irqfd) or to a connection (ioeventfd). The descriptors are the caller's. */
struct binding {
	uint32_t target; /* vCPU or connection id */
	int eventfd;
};

struct bindings {
	struct binding *at;
	size_t count, room;
};

struct irq {
	struct kvm *kvm;
	uint32_t cpus;
	pthread_mutex_t lock;
	struct bindings irqfds, kicks;
	uint8_t vector[];
};

static int bindings_add(struct bindings *list, uint32_t target, int eventfd)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 16;
		struct binding *at = reallocarray(list->at, room, sizeof(*at));

		if (!at)
			return -ENOMEM;
		list->at = at;
		list->room = room;
	}
	list->at[list->count++] = (struct binding){target, eventfd};
	return 0;
}

static struct binding *find_eventfd(struct bindings *list, int eventfd)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->at[i].eventfd == eventfd)
			return &list->at[i];
	return NULL;
}

static struct binding *find_target(struct bindings *list, uint32_t target)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->at[i].target == target)
			return &list->at[i];
	return NULL;
}

static void bindings_remove(struct bindings *list, struct binding *binding)
{
	*binding = list->at[--list->count];
}

int irq_new(struct kvm *kvm, uint32_t cpus, struct irq **ret_irq)
{
	struct irq *irq = calloc(1, sizeof(*irq) + cpus);
	int r;

	if (!irq)
		return -ENOMEM;
	irq->kvm = kvm;
	irq->cpus = cpus;
	pthread_mutex_init(&irq->lock, NULL);
	r = kvm_route_msis(kvm, irq->vector, cpus);
	if (r < 0) {
		irq_free(irq);
		return r;
	}
	*ret_irq = irq;
	return 0;
}

void irq_free(struct irq *irq)
{
	if (!irq)
		return;
	while (irq->irqfds.count)
		irq_release(irq, irq->irqfds.at[0].eventfd);
	while (irq->kicks.count)
		irq_kick_release(irq, irq->kicks.at[0].target, irq->kicks.at[0].eventfd);
	free(irq->irqfds.at);
	free(irq->kicks.at);
	pthread_mutex_destroy(&irq->lock);
	free(irq);
}

int irq_set_vector(struct irq *irq, uint32_t vp, uint8_t vector)
{
	int r = 0;

	pthread_mutex_lock(&irq->lock);
	if (irq->vector[vp] != vector) {
		irq->vector[vp] = vector;
		r = kvm_route_msis(irq->kvm, irq->vector, irq->cpus);
	}
	pthread_mutex_unlock(&irq->lock);
	return r;
}

void irq_inject(struct irq *irq, uint32_t vp, uint8_t vector)
{
	int r = kvm_msi(irq->kvm, vp, vector);

	if (r < 0)
		log_debug("irq", "vCPU %u: vector %#x: %s", vp, vector, err_name(r));
}

void irq_line(struct irq *irq, uint32_t gsi, bool level)
{
	int r = kvm_line(irq->kvm, gsi, level);

	if (r < 0)
		log_debug("irq", "line %u: %s", gsi, err_name(r));
}

/* An eventfd written while it is bound to nothing keeps its count; KVM looks at it when it is bound again. */
static int irq_move(struct irq *irq, struct binding *binding, uint32_t vp)
{
	int fd = binding->eventfd, r;

	if (binding->target == vp)
		return 0;
	/* KVM takes an eventfd once only, so it cannot be bound anew before it is let go */
	kvm_irqfd(irq->kvm, KVM_GSI_MSI + binding->target, fd, false);
	r = kvm_irqfd(irq->kvm, KVM_GSI_MSI + vp, fd, true);
	if (r >= 0)
		binding->target = vp;
	else if (kvm_irqfd(irq->kvm, KVM_GSI_MSI + binding->target, fd, true) < 0)
		bindings_remove(&irq->irqfds, binding);
	return r;
}

int irq_assign(struct irq *irq, uint32_t vp, int eventfd)
{
	struct binding *binding;
	int r;

	if (vp >= irq->cpus)
		return -EINVAL;
	pthread_mutex_lock(&irq->lock);
	binding = find_eventfd(&irq->irqfds, eventfd);
	if (binding) {
		r = irq_move(irq, binding, vp);
	} else {
		r = kvm_irqfd(irq->kvm, KVM_GSI_MSI + vp, eventfd, true);
		if (r >= 0) {
			r = bindings_add(&irq->irqfds, vp, eventfd);
			if (r < 0)
				kvm_irqfd(irq->kvm, KVM_GSI_MSI + vp, eventfd, false);
		}
	}
	pthread_mutex_unlock(&irq->lock);
	return r;
}

void irq_release(struct irq *irq, int eventfd)
{
	struct binding *binding;

	pthread_mutex_lock(&irq->lock);
	binding = find_eventfd(&irq->irqfds, eventfd);
	if (binding) {
		kvm_irqfd(irq->kvm, KVM_GSI_MSI + binding->target, eventfd, false);
		bindings_remove(&irq->irqfds, binding);
	}
	pthread_mutex_unlock(&irq->lock);
}

int irq_kick_assign(struct irq *irq, uint32_t connection_id, int eventfd)
{
	int r = -EEXIST;

	pthread_mutex_lock(&irq->lock);
	if (!find_target(&irq->kicks, connection_id)) {
		r = kvm_ioeventfd(irq->kvm, HV_SIGNAL_PORT, connection_id, eventfd, true);
		if (r >= 0) {
			r = bindings_add(&irq->kicks, connection_id, eventfd);
			if (r < 0)
				kvm_ioeventfd(irq->kvm, HV_SIGNAL_PORT, connection_id, eventfd, false);
		}
	}
	pthread_mutex_unlock(&irq->lock);
	return r;
}

void irq_kick_release(struct irq *irq, uint32_t connection_id, int eventfd)
{
	struct binding *binding;

	pthread_mutex_lock(&irq->lock);
	binding = find_target(&irq->kicks, connection_id);
	if (binding && binding->eventfd == eventfd) {
		kvm_ioeventfd(irq->kvm, HV_SIGNAL_PORT, connection_id, eventfd, false);
		bindings_remove(&irq->kicks, binding);
	}
	pthread_mutex_unlock(&irq->lock);
}

int irq_kick(struct irq *irq, uint32_t connection_id)
{
	struct binding *binding;

	pthread_mutex_lock(&irq->lock);
	binding = find_target(&irq->kicks, connection_id);
	if (binding)
		eventfd_write(binding->eventfd, 1);
	pthread_mutex_unlock(&irq->lock);
	return binding ? 0 : -ENOENT;
}
