"""The metrics that rules and panels use; the tests find every other one in a scrape of a real server."""

from __future__ import annotations

ADAPTED = "triton_queue_ms"  # as the Prometheus adapter names what the autoscaler reads
JOB = "triton"  # the scrape job, in compose and in Kubernetes

# Only a server that sees a GPU has these. Labels: gpu_uuid.
GPU = frozenset({
    "nv_gpu_utilization",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_power_usage",
    "nv_gpu_power_limit",
})  # fmt: skip
PROMETHEUS = frozenset({"up"})  # Prometheus's own, of every scrape


def models_of(package: str) -> str:
    """A regular expression for the package's model and, of a cascade, its members."""
    return f"{package}([.].+)?"


def queue_ms(matchers: str, over: str, by: str = "model") -> str:
    """PromQL: the mean time in the queue, by model; 0 where nothing was asked."""
    return (
        f"sum by ({by}) (rate(nv_inference_queue_duration_us{{{matchers}}}[{over}])) / 1000"
        f" / clamp_min(sum by ({by}) (rate(nv_inference_request_success{{{matchers}}}[{over}])), 0.001)"
    )


def longest_queue_ms(matchers: str, by: str, over: str) -> str:
    """PromQL: of the models of each group, the longest mean time in the queue."""
    return f"max by ({by}) ({queue_ms(matchers, over, f'{by}, model')})"
