# SPDX-License-Identifier: ISC
# The cache itself is in soma_bases.c now.
50,179d
602s/cache_get(/git_pack_&/
762c\
		git_pack_cache_release(cached);
775s/cache_add(/git_pack_&/
810c\
			git_pack_cache_release(cached);
824c\
			git_pack_cache_release(cached);
1054s/cache_free(/git_pack_&/
1075d
1236s/cache_init(/git_pack_&/
