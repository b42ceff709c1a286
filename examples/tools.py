"""The built-in agent with Python tools: one that may be repeated, one that needs a yes.

tailrace serve examples/tools.toml
"""

from tailrace import Progress, ToolContext, tool


@tool(idempotent=True)
async def find_order(number: int) -> dict[str, str]:
    """Find an order by its number."""
    return {"number": str(number), "state": "delivered", "paid": "20"}


@tool(approval=True, timeout=30)
def refund(number: int, amount: int, call: ToolContext) -> str:
    """Pay money back for an order. Give the key to the bank: it sees that a repeated call is the same."""
    call.progress(Progress("asking the bank", 1, 2))
    return f"{amount} back for order {number} under {call.key}"
