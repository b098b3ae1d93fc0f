"""Name the columns of the raw scans, check their values and set images aside for the test."""

from pathlib import Path

import pandas as pd
import yaml
from sklearn.model_selection import train_test_split

SIDE = 8
DARKEST = 16


def main():
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    pixels = [f"p{row}{column}" for row in range(SIDE) for column in range(SIDE)]
    images = pd.read_csv("data/digits.csv", header=None, names=[*pixels, "digit"]).astype(int)
    if not images[pixels].isin(range(DARKEST + 1)).all(axis=None):
        raise SystemExit(f"data/digits.csv: a grey value is not between 0 and {DARKEST}")
    if not images["digit"].isin(range(10)).all():
        raise SystemExit("data/digits.csv: the last column is not always a digit")

    images.insert(0, "image", range(len(images)))
    _, test = train_test_split(
        images["image"],
        test_size=params["prepare"]["test_share"],
        random_state=params["seed"],
        stratify=images["digit"],
    )
    images.insert(1, "split", images["image"].isin(test).map({True: "test", False: "train"}))

    Path("prepared").mkdir(exist_ok=True)
    images.to_csv("prepared/digits.csv", index=False, lineterminator="\n")
    print(f"{len(images)} images checked, {len(test)} of them set aside for the test")


if __name__ == "__main__":
    main()
