"""Tensors, models and optimizers of PyTorch that take the values of a snapshot in place."""

import copy
from collections import OrderedDict
from typing import Any

import pytest

from helpers.values import through
from rnnr import RnnrWarning

torch = pytest.importorskip("torch")


def inference() -> Any:
    with torch.inference_mode():
        return torch.zeros(3)


def leaf() -> Any:
    return torch.zeros(3, requires_grad=True)


ONES = torch.arange(1.0, 4.0)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (torch.zeros(3), ONES),
        (leaf(), ONES.clone().requires_grad_()),
        (leaf(), ONES),
        (torch.zeros(3), ONES.clone().requires_grad_()),
        (torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(ONES)),
        (torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(ONES, requires_grad=False)),
        (torch.zeros(6)[::2], ONES),
        (torch.zeros(2, 3).T, torch.arange(6.0).reshape(3, 2)),
        (torch.zeros(3), leaf() * 2 + ONES),
        (torch.zeros(3, dtype=torch.bfloat16), ONES.bfloat16()),
        (torch.zeros(()), torch.tensor(3.0)),
        (torch.zeros(0), torch.ones(0)),
    ],
)
def test_a_tensor_that_is_there_takes_one_of_its_kind(target: Any, value: Any) -> None:
    read = through(value, target)
    assert read is target
    assert torch.equal(read, value)
    assert read.requires_grad is (value.requires_grad and value.is_leaf)
    assert read.is_leaf


@pytest.mark.filterwarnings("ignore:.*(sparse|Sparse).*")
@pytest.mark.parametrize(
    "target",
    [
        torch.zeros(4),
        torch.zeros(3, 1),
        torch.zeros(3, dtype=torch.float64),
        torch.zeros(3, dtype=torch.int32),
        torch.nn.Parameter(torch.zeros(3)),
        leaf() * 2,
        leaf()[:],
        inference(),
        torch.zeros(1).expand(3),
        torch.zeros(3).to_sparse(),
        torch.zeros(3, device="meta"),
        torch.zeros(3).numpy(),
        None,
    ],
)
def test_a_tensor_of_another_kind_stays_as_it_is(target: Any) -> None:
    before = str(target)
    read = through(ONES, target)
    assert read is not target
    assert type(read) is torch.Tensor
    assert torch.equal(read, ONES)
    assert str(target) == before


def test_the_weights_of_a_model_stay_the_same_objects() -> None:
    model, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    weight = model.weight
    through(other, model)
    assert model.weight is weight
    assert torch.equal(model.weight, other.weight)
    assert model.weight.requires_grad


def test_what_aliases_a_model_as_a_run_begins_does_not_overwrite_it() -> None:
    model, best = torch.nn.Linear(2, 1), OrderedDict(weight=torch.ones(1, 2), bias=torch.ones(1))
    trained = copy.deepcopy(model.state_dict())
    target: Any = {"model": torch.nn.Linear(2, 1)}
    target["best"] = target["model"].state_dict()  # the weights themselves, not a copy
    read = through({"model": model, "best": best}, target)
    assert torch.equal(read["model"].weight, trained["weight"])
    assert torch.equal(read["best"]["weight"], torch.ones(1, 2))
    assert read["best"] is target["best"]


def test_what_aliases_a_model_in_both_processes_does_so_after_it() -> None:
    def make() -> Any:
        model = torch.nn.BatchNorm1d(2)
        return {"model": model, "mean": model.running_mean, "row": model.weight.detach()[:1]}

    value, target = make(), make()
    with torch.no_grad():
        value["mean"] += 3
        value["row"] += 4
    read = through(value, target)
    read["mean"] += 1
    read["row"] += 1
    assert read["model"].running_mean.tolist() == [4, 4]
    assert read["model"].weight.tolist() == [6, 1]


def test_a_state_that_is_rounded_is_told() -> None:
    """NAdam keeps numbers in 32 bits and loads them in the type of the parameters."""

    def make() -> Any:
        model = torch.nn.Linear(2, 1, dtype=torch.bfloat16)
        return model, torch.optim.NAdam(model.parameters())

    model, optimizer = make()
    model(torch.ones(3, 2, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    with pytest.warns(RnnrWarning, match=r"x\.state_dict\(\)\['state'\]\[0\]\['mu_product'\] must"):
        through(optimizer, make()[1])


def test_weights_of_another_type_are_told() -> None:
    with pytest.warns(RnnrWarning, match=r"x\.state_dict\(\)\['weight'\] must be what was saved"):
        through(torch.nn.Linear(2, 1), torch.nn.Linear(2, 1).half())


OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": torch.tensor(0.1)},
    "AdamW": {"amsgrad": True},
    "Adagrad": {},
    "LBFGS": {},
    "RMSprop": {"centered": True},
    "Rprop": {},
    "NAdam": {},
    "Adafactor": {},
}


def make_optimizer(name: str, model: Any) -> Any:
    if name == "LBFGS":
        return torch.optim.LBFGS(model.parameters())
    groups = [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.2}]
    return getattr(torch.optim, name)(groups, **OPTIMIZERS[name])


def train(model: Any, optimizer: Any) -> list[float]:
    def loss() -> Any:
        optimizer.zero_grad()
        value = (model(torch.arange(6.0).reshape(3, 2)) ** 2).sum()
        value.backward()
        return value

    for _ in range(3):
        optimizer.step(loss)
    return [*model.weight.detach().flatten().tolist(), *model.bias.tolist()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_exactly(name: str) -> None:
    model, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    value = {"model": model, "optimizer": make_optimizer(name, model)}
    target = {"model": other, "optimizer": make_optimizer(name, other)}
    train(*value.values())
    through(value, target)
    assert target["optimizer"].param_groups[0]["params"][0] is other.weight
    assert train(*target.values()) == train(*value.values())


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2),
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 / (1 + n)),
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, 20),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
        lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=2),
                torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
            ],
            [2],
        ),
        lambda optimizer: torch.optim.lr_scheduler.CyclicLR(optimizer, 0.1, 0.2),
        lambda optimizer: torch.optim.swa_utils.SWALR(optimizer, 0.05),
    ],
)
def test_a_scheduler_goes_on_exactly(make: Any) -> None:
    def set_up() -> Any:
        optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
        return {"optimizer": optimizer, "scheduler": make(optimizer)}

    def rates(parts: Any, n: int) -> list[float]:
        found = []
        for _ in range(n):
            parts["optimizer"].step()
            parts["scheduler"].step()
            found.append(parts["optimizer"].param_groups[0]["lr"])
        return found

    value, target = set_up(), set_up()
    rates(value, 4)
    through(value, target)
    assert rates(target, 5) == rates(value, 5)


def test_a_plateau_and_an_average_of_models_go_on() -> None:
    def set_up() -> Any:
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        average = torch.optim.swa_utils.AveragedModel(model)
        return {"plateau": plateau, "average": average}, model

    (value, model), (target, _) = set_up(), set_up()
    value["plateau"].step(torch.tensor(1.0))
    value["plateau"].step(2.0)
    value["average"].update_parameters(model)
    through(value, target)
    assert target["plateau"].state_dict() == value["plateau"].state_dict()
    assert int(target["average"].n_averaged) == 1
    assert torch.equal(target["average"].module.weight, model.weight)
