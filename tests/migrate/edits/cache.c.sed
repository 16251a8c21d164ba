# SPDX-License-Identifier: ISC
# What touched the table is in soma_cache.c now.
44,125d
127s/^static //
133,232d
