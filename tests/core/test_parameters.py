"""Which parameters name a file: those of backends and runtimes that do, and those that do not."""

from __future__ import annotations

import pytest

from tritonpm.core.parameters import names_a_file

FILES = [
    ("EXECUTION_ENV_PATH", "x"), ("execution_env_path", "x"), ("CACHE_DIR", "c"), ("CONFIG_FILE", "c"),
    ("TRITON_BATCH_STRATEGY_PATH", "1"), ("CPU_EXTENSION_PATH", "1"), ("trt_extra_plugin_lib_paths", "a"),
    ("trt_engine_cache_path", "c"), ("ep.context_file_path", "c"), ("session.optimized_model_filepath", "c"),
    ("session.model_external_initializers_file_folder_path", "c"), ("modelDirectory", "c"), ("any", "/x"), ("any", "a:/x"),
    ("any", "../x"), ("any", "a/../../x"), ("any", "a\\..\\x"), ("any", "~/x"), ("any", "libx.so.1"), ("any", "x.py"),
    ("load_config", "c.json"), ("any", "file:///x"), ("any", '{"a": "/x"}'), ("any", "$$TRITON_MODEL_DIRECTORY/x"), ("any", "C:\\x"),
]  # fmt: skip
OTHERS = [
    ("intra_op_thread_count", "4"), ("execution_mode", "1"), ("PERFORMANCE_HINT", "LATENCY"), ("NUM_STREAMS", "AUTO"),
    ("TARGET_DEVICE", "HETERO:GPU,CPU"), ("trt_engine_cache_enable", "true"), ("memory.enable_memory_arena_shrinkage", "cpu:0"),
    ("enable_mem_pattern", "1"), ("EXECUTION_ENV_PATH", ""), ("note", "images and/or text, 1.5 px"), ("profile", "fast"),
    ("model", "bert-base"), ("tritonpm_revision", "0123456789abcdef"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FILES)
def test_what_names_a_file(name: str, value: str) -> None:
    assert names_a_file(name, value)


@pytest.mark.parametrize(("name", "value"), OTHERS)
def test_what_names_none(name: str, value: str) -> None:
    assert not names_a_file(name, value)
