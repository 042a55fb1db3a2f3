"""How a fit prints: its parameters with their standard deviations, and the local fits."""

from typing import Any

from jaxglobal.printing import brief, duration, table

SHOWN = 6  # local fits that a printed fit lists


def rows(fit: Any) -> list[tuple[str, str]]:
    """The essentials of a `Fit`, by name."""
    flat, errors = fit._regression.structure.flatten(fit.popt), fit.perr
    loss = "" if fit.loss == "linear" else f" ({fit.loss})"
    return [
        *((name, f"{value:.10g} +- {error:.3g}") for name, value, error in zip(fit.names, flat, errors, strict=True)),
        ("cost", f"{fit.fun:.10g}{loss}, {fit.dof} degrees of freedom"),
        ("success", str(fit.success)),
        ("status", f"{fit.result.status.name}: {fit.message}"),
        *([] if fit.result.active is None else [("violation", f"{fit.result.violation:.3g}")]),
        ("searches", f"{fit.result.nstarts:,} in {fit.result.nit} levels, {fit.result.nfev:,} evaluations"),
        *([] if fit.result.calls is None else [("calls", str(fit.result.calls))]),
        ("time", f"{duration(fit.result.time)}, of it {duration(fit.result.compile_time)} compiling"),
        ("local fits", f"{len(fit.fits)} distinct"),
        *([("undetermined", ", ".join(fit.undetermined))] if fit.undetermined else []),
    ]


def text(fit: Any) -> str:
    """It as text."""
    named = rows(fit)
    width = max(12, *(len(name) for name, _ in named))
    lines = [f"{name:>{width}}: {value}" for name, value in named]
    lines += [f"{'':>14}{m.fun:<20.12g} {m.count:>8,} x  {brief(m.popt)}" for m in fit.fits[:SHOWN]]
    if len(fit.fits) > SHOWN:
        lines.append(f"{'':>14}and {len(fit.fits) - SHOWN} more")
    return "\n".join(lines)


def page(fit: Any) -> str:
    """It as HTML."""
    fits = "".join(
        f"<tr><td>{m.fun:.12g}</td><td>{m.count:,}</td><td>{brief(m.popt)}</td></tr>" for m in fit.fits[:SHOWN]
    )
    return f"{table(rows(fit))}<table><tr><th>cost</th><th>count</th><th>parameters</th></tr>{fits}</table>"
