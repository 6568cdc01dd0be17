"""Teach an agent to balance a pole, with NumPy, Gymnasium and rnnr's `Runner`.

    pip install '.[examples]' gymnasium
    python examples/reinforcement_learning.py [--seed 0] [--generations 50] [--snapshots DIR]

A batch is an episode: the runner draws the number of an episode, and a callback plays it. The
environment has nothing to remember between two episodes, so a run that is killed goes on exactly
(``--snapshots``). An epoch is a generation: sixteen policies are tried, the four best of them make
the next generation, and the mean policy is evaluated by a second runner, on other episodes. The run
stops when it is solved. One seed decides everything.

The method is the cross-entropy method with noise, of Szita and Lorincz, "Learning Tetris Using the
Noisy Cross-Entropy Method", 2006. A policy is four weights: push right if the weighted sum of what
is observed is above zero.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rnnr import Event, Runner, State
from rnnr.attachments import EpochLog, MeanReducer
from rnnr.callbacks import early_stopping, evaluate
from rnnr.durable import Snapshots
from rnnr.state import n_batches_drawn

POPULATION, ELITE = 16, 4


def main(argv: Sequence[str] | None = None) -> float:
    """Train, and return the mean return in episodes that the training has not seen."""
    parser = argparse.ArgumentParser(description="Teach an agent to balance a pole.")
    parser.add_argument("--seed", type=int, default=0, help="decides the policies and the episodes")
    parser.add_argument("--generations", type=int, default=50, help="train no longer than this")
    parser.add_argument("--snapshots", help="save the run in this directory, and go on from there")
    options = parser.parse_args(argv)

    env: Env = gymnasium.make("CartPole-v1")
    rng = np.random.default_rng(options.seed)
    trainer, evaluator = Runner(), Runner()
    trainer.state.update(mean=np.zeros(4), spread=np.ones(4))
    trainer.state.update(tried=np.zeros((POPULATION, 4)), returns=np.zeros(POPULATION))

    @trainer.on(Event.BATCH)
    def play(state: State) -> None:
        policy = state["mean"] + state["spread"] * rng.normal(size=4)
        state.update(episode(env, policy, seed=int(rng.integers(2**31))))
        place = n_batches_drawn(state) - 1  # in this generation
        state["tried"][place], state["returns"][place] = policy, state["episode_return"]

    @trainer.on(Event.EPOCH_FINISHED)
    def select_the_best(state: State) -> None:
        best = state["tried"][np.argsort(state["returns"])[-ELITE:]]
        state["mean"], state["spread"] = best.mean(axis=0), best.std(axis=0) + 0.05

    @evaluator.on(Event.BATCH)
    def play_the_mean(state: State) -> None:
        state.update(episode(env, trainer.state["mean"], seed=state["batch"]))

    for runner in (trainer, evaluator):
        MeanReducer("return", value="episode_return").attach_on(runner)
        MeanReducer("length", value="episode_length").attach_on(runner)
    trainer.on(Event.EPOCH_FINISHED, evaluate(evaluator, range(10), prefix="valid_"))
    solved = env.spec.reward_threshold if env.spec else None  # 475 of 500 steps
    early_stopping(
        "valid_return", "max", patience=20, stopping_threshold=solved, restore="mean"
    ).attach_on(trainer)
    EpochLog(best={"valid_return": "max"}).attach_on(trainer)
    if options.snapshots:
        every = Event.BATCH | Event.EPOCH_FINISHED
        Snapshots(options.snapshots, every=every, generators=[rng]).attach_on(trainer)
    trainer.run(range(POPULATION), options.generations)

    evaluator.run(range(1000, 1020))
    mean_return = float(evaluator.state["return"])
    n_episodes = trainer.state["n_iters"]
    print(f"mean return {mean_return:.1f} in 20 other episodes, after {n_episodes} of training")
    env.close()
    return mean_return


Env = gymnasium.Env[NDArray[np.float32], Any]


def episode(env: Env, policy: NDArray[np.float64], seed: int) -> dict[str, float]:
    """Play an episode with a policy, and return its return (sum of rewards) and its length."""
    observation, _ = env.reset(seed=seed)
    total, length, is_over = 0.0, 0, False
    while not is_over:
        action = int(policy @ observation > 0)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, length, is_over = total + float(reward), length + 1, terminated or truncated
    return {"episode_return": total, "episode_length": length}


if __name__ == "__main__":
    main()
