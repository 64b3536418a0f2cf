/* SPDX-License-Identifier: Apache-2.0 */
/* Negative errnos and the names of D-Bus errors. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "dbus/internal.h"

/* For a code the first row counts; a name is looked up from the top, too. */
static const struct {
	int code;
	const char *name;
} errors[] = {
	{-ENOENT, ERROR_PREFIX "NotFound"},
	{-EEXIST, ERROR_PREFIX "Exists"},
	{-EINVAL, ERROR_PREFIX "InvalidArgument"},
	{-EISDIR, ERROR_PREFIX "InvalidArgument"},
	{-ENOTDIR, ERROR_PREFIX "InvalidArgument"},
	{-ENAMETOOLONG, ERROR_PREFIX "InvalidArgument"},
	{-ENOEXEC, ERROR_PREFIX "InvalidArgument"},
	{-EBADMSG, ERROR_PREFIX "InvalidArgument"},
	{-EBADFD, ERROR_PREFIX "InvalidState"},
	{-EBUSY, ERROR_PREFIX "Busy"},
	{-EAGAIN, ERROR_PREFIX "Busy"},
	{-EACCES, ERROR_PREFIX "PermissionDenied"},
	{-EPERM, ERROR_PREFIX "PermissionDenied"},
	{-EROFS, ERROR_PREFIX "PermissionDenied"},
	{-ENOMEM, ERROR_PREFIX "NoMemory"},
	{-EOPNOTSUPP, ERROR_PREFIX "NotSupported"},
	{-EPROTONOSUPPORT, ERROR_PREFIX "NotSupported"},
	{-ENOSYS, ERROR_PREFIX "NotSupported"},
	{-ETIMEDOUT, ERROR_PREFIX "Timeout"},
	{-EREMOTEIO, ERROR_PREFIX "Failed"},
	{-ENOENT, DBUS_ERROR_FILE_NOT_FOUND},
	{-ENOENT, DBUS_ERROR_UNKNOWN_OBJECT},
	{-EOPNOTSUPP, DBUS_ERROR_UNKNOWN_METHOD},
	{-EOPNOTSUPP, DBUS_ERROR_UNKNOWN_INTERFACE},
	{-EOPNOTSUPP, DBUS_ERROR_UNKNOWN_PROPERTY},
	{-EACCES, DBUS_ERROR_PROPERTY_READ_ONLY},
	{-EACCES, DBUS_ERROR_ACCESS_DENIED},
	{-EACCES, DBUS_ERROR_AUTH_FAILED},
	{-EINVAL, DBUS_ERROR_INVALID_ARGS},
	{-EINVAL, DBUS_ERROR_BAD_ADDRESS},
	{-EINVAL, DBUS_ERROR_INVALID_SIGNATURE},
	{-ESRCH, DBUS_ERROR_SERVICE_UNKNOWN},
	{-ESRCH, DBUS_ERROR_NAME_HAS_NO_OWNER},
	{-ECONNREFUSED, DBUS_ERROR_NO_SERVER},
	{-ECONNRESET, DBUS_ERROR_DISCONNECTED},
	{-ECONNRESET, DBUS_ERROR_NO_REPLY},
	{-ETIMEDOUT, DBUS_ERROR_TIMEOUT},
	{-ETIMEDOUT, DBUS_ERROR_TIMED_OUT},
	{-ENOMEM, DBUS_ERROR_NO_MEMORY},
	{-ENOBUFS, DBUS_ERROR_LIMITS_EXCEEDED},
};

const char *msgbus_error_name(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		if (errors[i].code == code && !strncmp(errors[i].name, ERROR_PREFIX, strlen(ERROR_PREFIX)))
			return errors[i].name;
	}
	return ERROR_PREFIX "Failed";
}

int msgbus_error_code(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(errors); i++) {
		if (!strcmp(errors[i].name, name))
			return errors[i].code;
	}
	return -EREMOTEIO;
}

int msgbus_reply_code(DBusMessage *reply)
{
	const char *name = dbus_message_get_error_name(reply);

	/* The bus says NoReply when the peer went away; libdbus itself, with no sender, when the time was up. */
	if (name && !strcmp(name, DBUS_ERROR_NO_REPLY) && !dbus_message_get_sender(reply))
		return -ETIMEDOUT;
	return msgbus_error_code(name);
}
