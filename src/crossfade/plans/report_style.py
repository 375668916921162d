"""How the report's page looks: one style sheet, for light, dark, phones and paper.

Texts have a contrast of at least 4.5 to 1 with what is behind them, lines in charts 3 to 1, in both themes.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "panel": "#f6f8fa",
    "ink": "#1c2128",
    "soft": "#57606a",
    "rule": "#d8dee4",
    "good": "#1a7f37",
    "bad": "#b3261e",
    "warning": "#875400",
    "link": "#0b57d0",
    "old": "#6e40c9",
    "new": "#0f766e",
}
"""The colours of the light theme, by what they are for."""

DARK: Mapping[str, str] = {
    "paper": "#10151b",
    "panel": "#181f27",
    "ink": "#e6edf3",
    "soft": "#a3adb8",
    "rule": "#323b46",
    "good": "#57c978",
    "bad": "#ff8a80",
    "warning": "#e3b341",
    "link": "#86bcff",
    "old": "#bd9df7",
    "new": "#4fd1c5",
}
"""Those of the dark one."""


def style() -> str:
    """The style sheet."""
    return (
        f":root{{color-scheme:light;{_variables(LIGHT)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{color-scheme:dark;{_variables(DARK)}}}}}\n"
        f"{_SHEET}"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


_SHEET = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
.page{max-width:70rem;margin:0 auto;padding:2.5rem 1.5rem 4rem}
.skip{position:absolute;left:-100rem}
.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem 1rem}
a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
h1{font-size:1.9rem;line-height:1.2;margin:.1rem 0 .5rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:0 0 .8rem;padding-top:1.1rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.6rem 0 .5rem}
p{margin:0 0 .8rem;max-width:46rem}
section{margin-top:2.2rem}
section section{margin-top:0}
.kicker,.about,.hint,figcaption,.share small,.toc,footer{color:var(--soft)}
.kicker{margin:0;font-size:.8rem;letter-spacing:.08em;text-transform:uppercase}
.about{margin:0}
.hint,.none{font-size:.9rem}
.none{color:var(--soft)}
.figures{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.6rem 0 0}
.figures div{display:flex;flex-direction:column-reverse;justify-content:flex-end;flex:1 1 8.5rem;
  padding:.8rem 1rem;background:var(--panel);border-top:3px solid var(--rule)}
.figures dt{color:var(--soft);font-size:.85rem;line-height:1.35}
.figures dd{margin:0;font-size:1.45rem;line-height:1.3;font-weight:600;white-space:nowrap;font-variant-numeric:tabular-nums}
.figures .good{border-color:var(--good)}
.figures .bad{border-color:var(--bad)}
.figures .bad dd{color:var(--bad)}
.figures .warning{border-color:var(--warning)}
.whole{margin:1rem 0 0}
.toc{font-size:.9rem;margin:1.4rem 0 0}
.toc ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:0;padding:0}
.toc a{display:inline-block;padding:.15rem 0}
.bar{display:flex;height:.55rem;background:var(--panel);border:1px solid var(--rule);overflow:hidden}
.bar span{display:block;height:100%}
.bar .done{background:var(--good)}
.bar .claimed{background:repeating-linear-gradient(-45deg,var(--warning) 0 2px,transparent 2px 5px)}
.whole .bar{height:.9rem}
.share{min-width:8rem}
.share small{display:block;font-size:.8rem;line-height:1.35}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.45rem .9rem .45rem 0;border-bottom:1px solid var(--rule)}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-weight:600;font-size:.8rem;border-bottom-color:var(--soft);vertical-align:bottom}
tbody th{font-weight:550;min-width:11rem}
tbody th,.cards td:not(.s,.n){overflow-wrap:break-word}
.s,.n{white-space:nowrap}
.n{text-align:right;padding-right:1.5rem;font-variant-numeric:tabular-nums}
.deep-1{padding-left:1.2rem}.deep-2{padding-left:2.4rem}.deep-3{padding-left:3.6rem}.deep-4{padding-left:4.8rem}
.deep-1,.deep-2,.deep-3,.deep-4{font-weight:400}
.more{font-size:.85rem;color:var(--soft);margin-top:.5rem}
.sign{font-weight:600;white-space:nowrap}
.sign.good{color:var(--good)}.sign.bad{color:var(--bad)}.sign.warning{color:var(--warning)}
.sign.neutral{font-weight:400}
code{font:.86em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.scroll,.cards{overflow-x:auto}
.gantt svg{display:block;min-width:60rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:.5rem 2.5rem;margin-top:.5rem}
figure{margin:0}
.chart{display:block;width:100%;height:auto}
.chart text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
.grid{stroke:var(--rule);stroke-width:1}
.axis{stroke:var(--soft);stroke-width:1}
.mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}
.line-1,.line-2{fill:none;stroke-width:1.8;stroke-linejoin:round}
.line-1{stroke:var(--old);stroke-dasharray:5 2.5}.line-2{stroke:var(--new)}
.dot-1{fill:var(--old)}.dot-2{fill:var(--new)}
.area-1,.area-2{stroke:none;opacity:.14}
.area-1{fill:var(--old)}.area-2{fill:var(--new)}
figcaption{font-size:.85rem;display:flex;flex-wrap:wrap;gap:0 1.2rem}
.key::before{content:"";display:inline-block;width:1.6rem;margin-right:.45rem;vertical-align:.25em;
  border-top:2px solid var(--new)}
.key-1::before{border-top:2px dashed var(--old)}
details{margin-top:1rem;font-size:.9rem}
summary{cursor:pointer;color:var(--link)}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--rule);font-size:.85rem}
footer p{max-width:none;overflow-wrap:anywhere;margin-bottom:.4rem}
@media (max-width:640px){
  .page{padding:1.4rem 1rem 3rem}
  h1{font-size:1.5rem}
  .chart text{font-size:14.5px}
  .figures div{flex-basis:6.5rem;padding:.6rem .8rem}
  .figures dd{font-size:1.25rem}
  .cards thead{position:absolute;left:-100rem}
  .cards table,.cards tbody,.cards tr,.cards th,.cards td{display:block}
  .cards tr{padding:.6rem 0;border-bottom:1px solid var(--rule)}
  .cards tbody th{padding:0 0 .2rem;border:0;min-width:0}
  .cards td{display:grid;grid-template-columns:7.2rem 1fr;gap:.6rem;padding:.1rem 0;border:0;text-align:left}
  .cards .s,.cards .n{white-space:normal}
  .cards td:empty{display:none}
  .cards td::before{content:attr(data-label);color:var(--soft)}
  .cards .deep-1,.cards .deep-2,.cards .deep-3,.cards .deep-4{padding-left:0}
}
@media print{
  @page{margin:14mm}
  html{font-size:11px}
  body{font-size:1rem}
  th,td{padding-right:.7rem}
  tbody th{min-width:6rem}
  .share{min-width:6rem}
  .s,.n{white-space:normal}
  .page{max-width:none;padding:0}
  .toc,.skip,details{display:none}
  *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
  h2,h3,thead{break-after:avoid}
  tr,figure,.figures div{break-inside:avoid}
  .scroll{overflow:visible}
  .gantt svg{min-width:0}
  a{color:inherit;text-decoration:none}
}
"""
