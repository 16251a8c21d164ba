# SPDX-License-Identifier: ISC
34,36c\
	struct git_cache_map *map; /* on Soma, shared without a lock */\
	git_atomic_ssize used_memory;\
	uint64_t evicted_to; /* a place */
56,59c\
size_t git_cache_size(git_cache *cache);\
bool cache_should_store(git_object_t object_type, size_t object_size);\
int git_cache_global_init(void);
