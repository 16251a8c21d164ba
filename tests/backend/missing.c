/* SPDX-License-Identifier: ISC */
/* missing.c - a build without the mutex back-ends refuses them, and says so once if the environment has asked. */
#include "said.h"

static void missing(const void *arg)
{
    (void)arg;
    soma_any_u64 *map;
    EXPECT(!soma_backend_built(SOMA_BACKEND_MUTEX));
    EXPECT_EQ(soma_any_u64_new_on(SOMA_BACKEND_MUTEX, NULL, &map), SOMA_E_UNSUPPORTED);
    setenv("SOMA_BACKEND", "mutex", 1);
    EXPECT_EQ(refused_lines("soma: SOMA_BACKEND=mutex is not in this build: no map is made\n", SOMA_E_UNSUPPORTED), 1);
    setenv("SOMA_BACKEND", "lock-free", 1);
    EXPECT_EQ(soma_any_u64_new(NULL, &map), SOMA_OK);
    soma_any_u64_free(map);
    verified(4);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"missing", missing, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
