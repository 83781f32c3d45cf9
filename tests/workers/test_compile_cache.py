"""Where compiled programs are kept."""

from workers.compile_cache import compile_cache_environment


def test_compiled_programs_are_kept_in_the_users_folder_of_caches():
    assert compile_cache_environment({"HOME": "/home/a"})["JAX_COMPILATION_CACHE_DIR"] == (
        "/home/a/.cache/statmux/compiled"
    )
    kept = compile_cache_environment({"HOME": "/home/a", "XDG_CACHE_HOME": "/fast"})
    assert kept["JAX_COMPILATION_CACHE_DIR"] == "/fast/statmux/compiled"


def test_the_users_own_choice_stays_also_to_keep_nothing():
    assert compile_cache_environment({"JAX_COMPILATION_CACHE_DIR": "/mine"}) == {}
    assert compile_cache_environment({"JAX_COMPILATION_CACHE_DIR": ""}) == {}
