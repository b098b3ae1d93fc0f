"""Turn prepared images into the columns that the model learns from."""

from pathlib import Path

import pandas as pd

SIDE = 8
DARKEST = 16


def main():
    images = pd.read_csv("prepared/digits.csv")
    pixels = [name for name in images.columns if name.startswith("p")]
    grey = images[pixels].to_numpy().reshape(-1, SIDE, SIDE) / DARKEST

    columns = {name: grey[:, int(name[1]), int(name[2])] for name in pixels}
    for i in range(SIDE):
        columns[f"row{i}_ink"] = grey[:, i, :].mean(axis=1)
        columns[f"column{i}_ink"] = grey[:, :, i].mean(axis=1)
    columns["symmetry_left_right"] = 1 - abs(grey - grey[:, :, ::-1]).mean(axis=(1, 2))
    columns["symmetry_up_down"] = 1 - abs(grey - grey[:, ::-1, :]).mean(axis=(1, 2))

    features = pd.concat([images[["image", "split", "digit"]], pd.DataFrame(columns)], axis=1)
    Path("features").mkdir(exist_ok=True)
    features.to_csv("features/digits.csv", index=False, lineterminator="\n")
    print(f"{len(columns)} features computed for each of {len(features)} images")


if __name__ == "__main__":
    main()
