/* SPDX-License-Identifier: ISC */
/** attr.h - how Soma's public names are declared. Nothing here is for callers. */
#ifndef SOMA_ATTR_H
#define SOMA_ATTR_H

#if defined(__GNUC__)
#define SOMA_API __attribute__((visibility("default")))
#define SOMA_NODISCARD __attribute__((warn_unused_result))
#else
#define SOMA_API
#define SOMA_NODISCARD
#endif

#endif
