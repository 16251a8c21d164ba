/* SPDX-License-Identifier: ISC */
/**
 * status.h - the one answer type of every call that can fail.
 *
 *     enum soma_status s = soma_u64_put(map, key, value, NULL);
 *     if (s < 0)
 *         fprintf(stderr, "put: %s\n", soma_status_text(s));
 *
 * Answers are >= 0 and say what happened; errors are < 0 and always leave the map as it was, unless the call's
 * own page says otherwise. Memory that cannot be had is an error like any other: Soma itself never aborts.
 */
#ifndef SOMA_STATUS_H
#define SOMA_STATUS_H

#include <soma/attr.h>

#ifdef __cplusplus
extern "C" {
#endif

enum soma_status {
    SOMA_OK = 0,       /**< done; for a lookup: found */
    SOMA_INSERTED = 1, /**< the key was absent; now it is there */
    SOMA_REPLACED = 2, /**< the key was there; its value changed */
    SOMA_REMOVED = 3,  /**< the key was there; now it is gone */
    SOMA_ABSENT = 4,   /**< the key is not there; nothing changed */
    SOMA_EXISTS = 5,   /**< the key is already there; nothing changed */
    SOMA_CHANGED = 6,  /**< the value is not the expected one; nothing changed */
    SOMA_END = 7,      /**< nothing more to visit */

    SOMA_E_NOMEM = -1,       /**< memory could not be had; nothing changed */
    SOMA_E_INVALID = -2,     /**< the arguments make no sense; nothing changed */
    SOMA_E_LIMIT = -3,       /**< the cap on deferred memory is reached; nothing changed */
    SOMA_E_FROZEN = -4,      /**< the object takes no updates */
    SOMA_E_CORRUPT = -5,     /**< bytes from outside are not what they claim to be */
    SOMA_E_IO = -6,          /**< reading or writing outside failed; errno says why */
    SOMA_E_UNSUPPORTED = -7, /**< this build, machine or map cannot do that */
};

/**
 * soma_status_text() - a short English text for a status.
 * @status: any value; an unknown one gets a text that says so.
 *
 * Any thread, any time, also in signal handlers; wait-free.
 * Return: a constant string, never NULL, without newline.
 */
SOMA_API const char *soma_status_text(enum soma_status status);

#ifdef __cplusplus
}
#endif

#endif
