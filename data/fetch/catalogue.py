"""The public collections: addresses, sizes, checksums, licences. No other module holds an address.

Collected in November 2026 from the collections' own repositories, pages and FAQ, as public copies show them. The machine that this was
built on could call none of the addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

_GITHUB_TREE = "https://api.github.com/repos/{repository}/git/trees/{commit}?recursive=1"  # its answer has size and blob hash of every file
_GITHUB_FILE = "https://raw.githubusercontent.com/{repository}/{commit}/{path}"
_KAGGLE = "https://www.kaggle.com/api/v1/datasets/download/{dataset}"
_NIH_ARCHIVE = "https://nihcc.box.com/shared/static/{key}.gz"
_NIH_FILE = "https://nihcc.app.box.com/index.php?rm=box_download_shared_file&shared_name=zx7xbtg7oj9ko9ghmgmsm5zd7tnhhscp&file_id=f_{key}"


@dataclass(frozen=True)
class Remote:
    """One file to download.

    Attributes:
      name: Of the file among the downloads; may hold folders.
      url: Where it is.
      size: Bytes; None where not known beforehand.
      checksum: That its source publishes, `md5:…` or `git:…` (hash of a blob), in hex; None where it publishes none.
      kaggle: Whether Kaggle's credentials are needed.
    """

    name: str
    url: str
    size: int | None = None
    checksum: str | None = None
    kaggle: bool = False


@dataclass(frozen=True)
class Collection:
    """One public collection.

    Attributes:
      name: As the command line knows it; `data/fetch/readers.py` has the reader of that name.
      page: For people.
      files: What is downloaded first, and decides on the rest.
      archives: What holds the images, where they come in archives; empty where `files` leads to them.
      image_url: Address of a single image, with `{path}`; empty where images come in archives.
      licence: Of the collection as a whole; single images may have another one.
      citation: What users are asked to cite.
      remark: What must be known before training on it.
    """

    name: str
    title: str
    page: str
    files: tuple[Remote, ...]
    archives: tuple[Remote, ...] = ()
    image_url: str = ""
    licence: str = ""
    citation: str = ""
    remark: str = ""


_COHEN = {"repository": "ieee8023/covid-chestxray-dataset", "commit": "6a4242344473ccb5ed0d2148d8c7bfb1691e4ed8"}
IEEE8023 = Collection(
    name="ieee8023",
    title="COVID-19 image data collection",
    page="https://github.com/ieee8023/covid-chestxray-dataset",
    files=(
        Remote("tree.json", _GITHUB_TREE.format(**_COHEN)),
        Remote("metadata.csv", _GITHUB_FILE.format(**_COHEN, path="metadata.csv")),
    ),
    image_url=_GITHUB_FILE.replace("{repository}", _COHEN["repository"]).replace("{commit}", _COHEN["commit"]),
    licence="each image has its own, in the column license; where that is empty none is stated (--licensed-only leaves these out)",
    citation="Cohen, Morrison, Dao: COVID-19 Image Data Collection, arXiv:2003.11597, 2020",
)

KAGGLE_COVID = Collection(
    name="kaggle-covid",
    title="COVID-19 X-ray dataset (train and test sets), Kaggle",
    page="https://www.kaggle.com/datasets/khoongweihao/covid19-xray-dataset-train-test-sets",
    files=(Remote("archive.zip", _KAGGLE.format(dataset="khoongweihao/covid19-xray-dataset-train-test-sets"), kaggle=True),),
    licence="normal images: CC BY 4.0 (Kermany et al. 2018); the others come from ieee8023, each under a licence that is not stated here",
    citation="Kermany et al.: Identifying Medical Diagnoses and Treatable Diseases …, Cell 172, 2018; Cohen et al., 2020",
    remark="its folder PNEUMONIA holds, for the most part, COVID-19 images of ieee8023, and its normal images are of children: use it "
    "to reproduce the 2021 paper, not to train. Beside ieee8023 the same pictures carry two labels (--label-conflicts of cxr ingest).",
)

_COVID_NET = {"repository": "lindawangg/COVID-Net", "commit": "65999806546b55ab8adfc32b0cf8f70880c337dc"}
COVIDX = Collection(
    name="covidx",
    title="COVIDx V9A",
    page="https://github.com/lindawangg/COVID-Net/blob/master/docs/COVIDx.md",
    files=(
        Remote(
            "train_COVIDx9A.txt",
            _GITHUB_FILE.format(**_COVID_NET, path="labels/train_COVIDx9A.txt"),
            2_767_174,
            "git:38afbddba8cce63d3b70f1439c9127c8ec7c89b6",
        ),
        Remote(
            "test_COVIDx9A.txt",
            _GITHUB_FILE.format(**_COVID_NET, path="labels/test_COVIDx9A.txt"),
            32_538,
            "git:56a87df18084468e6ce181d6241f8e1e1905ae4e",
        ),
    ),
    # Version 5 is the one that COVID-Net's documentation names for the labels V9A; later ones have other images.
    archives=(Remote("covidx-cxr2.zip", _KAGGLE.format(dataset="andyczhao/covidx-cxr2") + "?dataset_version_number=5", kaggle=True),),
    licence="each source has its own terms, linked from the page",
    citation="Wang, Lin, Wong: COVID-Net, Scientific Reports 10, 19549, 2020",
    remark="nearly all COVID-19 images come from other sources than the normal and pneumonia images: the class can be told from the source "
    "(cxr audit). It holds images of ieee8023 and, through RSNA, of NIH.",
)

# Of each part: key of its address, bytes, MD5 (the collection's FAQ, question 7).
_NIH_PARTS = (
    ("vfk49d74nhbxq3nqjg0900w5nvkorp5c", 2_008_470_987, "fe8ed0a6961412fddcbb3603c11b3698"),
    ("i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", 3_952_623_504, "ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    ("f1t00wrtdk94satdfb9olcolqx20z2jp", 3_929_234_850, "2301d03bde4c246388bad3876965d574"),
    ("0aowwzs5lhjrceb3qp67ahp0rd1l1etg", 3_838_903_983, "9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    ("v5e3goj22zr6h8tzualxfsqlqaygfbsn", 3_935_496_531, "1861f3cd0ef7734df8104f2b0309023b"),
    ("asi7ikud9jwnkrnkj99jnpfkjdes7l6l", 3_986_301_172, "456b53a8b351afd92a35bc41444c58c8"),
    ("jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", 4_016_328_426, "1075121ea20a137b87f290d6a4a5965e"),
    ("tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", 4_018_347_353, "b61f34cec3aa69f295fbb593cbd9d443"),
    ("upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", 4_111_327_929, "442a3caa61ae9b64e61c561294d1e183"),
    ("l6nilvfa9cg3s28tqv1qc1olm3gnz54p", 4_181_556_296, "09ec81c4c31e32858ad8cf965c494b74"),
    ("hhq8fkdgvcari67vfhs7ppg2w6ni4jze", 4_187_084_020, "499aefc67207a5a97692424cf5dbeed5"),
    ("ioqwiy20ihqwyr8pf4c24eazhh281pbu", 2_914_187_733, "dc9fda1757c2de0032b63347a7d2895c"),
)
NIH_PART_IMAGES = (4_999, *(10_000,) * 10, 7_121)  # images in each part, in the order of their names; 112,120 in all
NIH_SUBSET = Collection(
    name="nih-subset",
    title="NIH ChestX-ray14, images with the single label Pneumonia or No Finding",
    page="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    files=(Remote("Data_Entry_2017_v2020.csv", _NIH_FILE.format(key="219760887468")),),
    archives=tuple(
        Remote(f"images_{number:03}.tar.gz", _NIH_ARCHIVE.format(key=key), size, f"md5:{md5}")
        for number, (key, size, md5) in enumerate(_NIH_PARTS, 1)
    ),
    licence="NIH Clinical Center: unrestricted; link to the page, acknowledge the NIH Clinical Center and cite the paper",
    citation="Wang et al.: ChestX-ray8, CVPR 2017",
    remark="labels are mined from reports: many are wrong, and 'No Finding' means none of 14 findings, not healthy.",
)

COLLECTIONS = {collection.name: collection for collection in (IEEE8023, KAGGLE_COVID, COVIDX, NIH_SUBSET)}
