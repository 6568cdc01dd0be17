"""The training with Keras 3, over PyTorch."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras.callbacks import EarlyStopping, ModelCheckpoint
from task import loaders


def train(folder):
    train_loader, valid_loader = loaders()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.02),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    path = folder / "best.keras"
    history = model.fit(
        train_loader,
        validation_data=valid_loader,
        epochs=40,
        shuffle=False,  # the loader does
        callbacks=[
            EarlyStopping("val_loss", patience=5),
            ModelCheckpoint(path, "val_loss", save_best_only=True),
        ],
    )
    losses = history.history["val_loss"]
    return len(losses), min(losses), keras.saving.load_model(path)
