/* SPDX-License-Identifier: ISC */
#include "peers/peer.h"

void peer_nothing(void) {}
