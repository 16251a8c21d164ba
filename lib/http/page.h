/* SPDX-License-Identifier: ISC */
/* page.h - the page for people: page.html, made a string by `embed` when this is built. */
#ifndef SOMA_HTTP_PAGE_H
#define SOMA_HTTP_PAGE_H

extern const char soma__http_page[];

#endif
