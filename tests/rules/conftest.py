"""The rules are tried with the same examples in every run and every test process, and few enough to stay quick."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "rules",
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rules")
