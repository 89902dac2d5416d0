"""Advantage-weighted regression: imitate most what turned out better than expected.

    poke-bc train
    python docs/examples/awr.py runs/bc data/shards runs/awr
    poke-bc evaluate runs/awr --shards data/shards

From Peng et al., "Advantage-weighted regression" (arXiv 1910.00177). What to expect comes from the value head of the
cloned policy, which stays as it is: one step of policy improvement, as in Brandfonbrener et al., "Offline RL without
off-policy evaluation" (arXiv 2106.08909). B transitions.
"""

import argparse
from pathlib import Path

import torch

from poke_bc import load_policy, transitions
from poke_bc.policy import save_policy
from poke_bc.train.loss import gimmick_loss


def awr(run, shards, out, *, epochs=1, batch_size=512, lr=2e-4, beta=1.0, most=20.0, seed=0, device="cpu"):
    """Continue a run that has a value head; writes the policy to OUT/policy and returns figures of each epoch.

    beta: temperature of the weights, in standard deviations of the advantage; without bound, it is imitation again.
    most: a larger weight is cut to this.
    """
    torch.manual_seed(seed)
    cloned, policy = load_policy(run, device=device), load_policy(run, device=device).train()
    if not policy.options.value_head:
        raise SystemExit(f"{run} has no value head: train without policy.value_head = false")
    optimizer = torch.optim.AdamW(policy.parameters(), lr=lr, weight_decay=0.01)
    spread, figures = None, []
    for epoch in range(epochs):
        sums, weights = torch.zeros(3), []
        for batch in transitions(shards, "train", batch_size=batch_size, seed=seed + epoch, epochs=1,
                                 steps=policy.steps, device=device):
            with torch.no_grad():
                expected_B = decide(cloned, batch.observation).value
                later_B = decide(cloned, batch.next_observation).value.masked_fill(batch.done, 0)
                advantage_B = batch.reward + later_B - expected_B
                deviation = advantage_B.square().mean().sqrt()
                spread = deviation if spread is None else 0.99 * spread + 0.01 * deviation
                weight_B = (advantage_B / (beta * spread)).exp().clamp(max=most)
            output = decide(policy, batch.observation)
            log_prob_B = output.logits.log_softmax(dim=1).gather(1, batch.action[:, None])[:, 0]
            policy_loss = -(weight_B * log_prob_B).sum() / weight_B.sum()
            value_loss = (output.value - batch.returns).square().mean()
            loss = policy_loss + 0.5 * value_loss
            if output.gimmick is not None:
                chosen = gimmick_loss(output.gimmick, batch.action, batch.gimmick, weight_B)
                loss = loss + chosen.total / weight_B.sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
            sums += torch.tensor([policy_loss.item(), value_loss.item(), 1])
            weights.append(weight_B.cpu())
        weight = torch.cat(weights)
        figures.append({"policy_loss": float(sums[0] / sums[2]), "value_loss": float(sums[1] / sums[2]),
                        "counts_as": float(weight.sum() ** 2 / weight.square().sum() / len(weight))})
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures[-1].items()))
    save_policy(policy, Path(out) / "policy", {"advantage-weighted regression": {
        "from": str(run), "epochs": epochs, "lr": lr, "beta": beta, "largest weight": most}})
    return figures


def decide(policy, observation):
    """The output for the decisions themselves, where the policy reads windows that end with them."""
    return policy(observation).of_decisions(observation)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "shards", "out"):
        parser.add_argument(name, type=Path)
    for name, value in (("--epochs", 1), ("--lr", 2e-4), ("--beta", 1.0), ("--seed", 0)):
        parser.add_argument(name, type=type(value), default=value)
    awr(**vars(parser.parse_args()))
