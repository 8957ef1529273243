"""dbt's dataclasses, hundreds, write code of their own to read and write themselves: half a second of importing dbt."""


def compile_when_used() -> None:
    """Have each class do so when it is first read or written; to be called before dbt is imported."""
    from mashumaro.config import BaseConfig

    BaseConfig.lazy_compilation = True
