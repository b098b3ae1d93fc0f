"""Grow a random forest on the training images."""

from pathlib import Path

import joblib
import pandas as pd
import yaml
from sklearn.ensemble import RandomForestClassifier


def main():
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    features = pd.read_csv("features/digits.csv")
    train = features[features["split"] == "train"]
    model = RandomForestClassifier(
        n_estimators=params["train"]["trees"],
        max_depth=params["train"]["depth"],
        random_state=params["seed"],
        n_jobs=1,
    )
    model.fit(train.drop(columns=["image", "split", "digit"]).to_numpy(), train["digit"].to_numpy())

    Path("models").mkdir(exist_ok=True)
    joblib.dump(model, "models/forest.joblib", compress=0)
    print(f"{len(model.estimators_)} trees grown on {len(train)} images")


if __name__ == "__main__":
    main()
