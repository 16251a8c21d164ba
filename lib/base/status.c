/* SPDX-License-Identifier: ISC */
/* status.c - texts of the statuses. */
#include <soma/status.h>

const char *soma_status_text(enum soma_status status)
{
    switch (status) {
    case SOMA_OK:
        return "ok";
    case SOMA_INSERTED:
        return "inserted";
    case SOMA_REPLACED:
        return "replaced";
    case SOMA_REMOVED:
        return "removed";
    case SOMA_ABSENT:
        return "key is absent";
    case SOMA_EXISTS:
        return "key exists already";
    case SOMA_CHANGED:
        return "value is not the expected one";
    case SOMA_END:
        return "nothing more to visit";
    case SOMA_E_NOMEM:
        return "out of memory";
    case SOMA_E_INVALID:
        return "invalid argument";
    case SOMA_E_LIMIT:
        return "cap on deferred memory reached";
    case SOMA_E_FROZEN:
        return "object takes no updates";
    case SOMA_E_CORRUPT:
        return "corrupt input";
    case SOMA_E_IO:
        return "input or output failed";
    case SOMA_E_UNSUPPORTED:
        return "not supported here";
    }
    return "unknown status";
}
