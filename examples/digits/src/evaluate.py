"""Judge the model by the images it has not seen."""

import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

DIGITS = list(range(10))


def main():
    features = pd.read_csv("features/digits.csv")
    test = features[features["split"] == "test"]
    model = joblib.load("models/forest.joblib")
    said = model.predict(test.drop(columns=["image", "split", "digit"]).to_numpy())
    meant = test["digit"].to_numpy()

    metrics = {
        "accuracy": round(float(accuracy_score(meant, said)), 4),
        "f1_macro": round(float(f1_score(meant, said, average="macro")), 4),
        "images": len(test),
    }
    Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    table = pd.DataFrame(confusion_matrix(meant, said, labels=DIGITS), columns=DIGITS)
    table.index.name = "meant"
    table.to_csv("confusion.csv", lineterminator="\n")
    print(f"{len(test)} images judged, accuracy {metrics['accuracy']}")


if __name__ == "__main__":
    main()
