"""The jobs that several files disturb."""

from __future__ import annotations

import pytest
from fault_jobs import CONVERT, PREPROCESS, Job, converting_job, preprocessing_job


@pytest.fixture(scope="module")
def preprocessing(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return preprocessing_job(tmp_path_factory.mktemp("preprocessing"), PREPROCESS)


@pytest.fixture(scope="module")
def converting(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return converting_job(tmp_path_factory.mktemp("converting"), CONVERT)
