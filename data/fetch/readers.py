"""Which module reads which collection."""

from __future__ import annotations

from cxr.data.fetch import covidx, ieee8023, kaggle_covid, nih_subset
from cxr.data.fetch.catalogue import COVIDX, IEEE8023, KAGGLE_COVID, NIH_SUBSET
from cxr.data.fetch.selection import Reader

READERS = {
    IEEE8023.name: Reader(ieee8023.select, ieee8023.parts),
    KAGGLE_COVID.name: Reader(kaggle_covid.select, kaggle_covid.parts),
    COVIDX.name: Reader(covidx.select, covidx.parts),
    NIH_SUBSET.name: Reader(nih_subset.select, nih_subset.parts),
}
