// Draws failure rates with plotly.js, in the page's own colours. Figures in, picture out; loads nothing but our own copy.
"use strict";
const charts = (() => {
  const DASHES = { broken: "solid", unreachable: "dash", withheld: "dot", code: "solid" };
  let latest = null;

  function load(address) {
    if (!document.getElementById("chart")) return;
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", () => latest && draw(...latest));
    document.head.append(script);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => latest && draw(...latest));
  }

  function draw(place, chart) {
    if (!place) return;
    latest = [place, chart];
    if (!window.Plotly) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    Plotly.react(place, traces(chart, colour), layout(chart, colour, place.clientWidth < 500), {
      displayModeBar: false,
      responsive: true,
      scrollZoom: false,
      doubleClick: false,
    });
  }

  function traces(chart, colour) {
    const lines = chart.lines.map((line) => ({
      type: "scatter",
      mode: "lines",
      name: line.name,
      x: chart.at,
      y: line.rates,
      customdata: line.failures,
      line: { color: colour(line.kind), dash: DASHES[line.kind], width: 2 },
      hovertemplate: "%{y:.2%} (%{customdata:,d})",
    }));
    const volume = {
      type: "scatter",
      mode: "lines",
      name: "Messages",
      x: chart.at,
      y: chart.attempts,
      yaxis: "y2",
      fill: "tozeroy",
      line: { color: colour("quiet"), width: 1 },
      hovertemplate: "%{y:,d}",
      showlegend: false,
    };
    return [...lines, volume];
  }

  function layout(chart, colour, isNarrow) {
    const highest = Math.max(...chart.lines.flatMap((line) => line.rates), chart.threshold ?? 0, 0.001);
    const axis = { color: colour("quiet"), gridcolor: colour("line"), zerolinecolor: colour("line"), fixedrange: true };
    return {
      margin: { l: 48, r: 8, t: 8, b: 28 },
      height: isNarrow ? 280 : 340,
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      separators: ".\u202f",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("text") },
      hovermode: "x unified",
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text") } },
      dragmode: false,
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
      xaxis: { ...axis, type: "date", range: [chart.at[0], chart.at.at(-1)], hoverformat: "%H:%M UTC", nticks: isNarrow ? 4 : 9 },
      yaxis: { ...axis, domain: [0.27, 1], range: [0, Math.min(highest * 1.15, 1.02)], tickformat: highest < 0.05 ? ".1%" : ".0%" },
      yaxis2: { ...axis, domain: [0, 0.17], rangemode: "tozero", nticks: 3, title: { text: "messages", font: { size: 11 } } },
      shapes: [...chart.bands.map((band) => shade(band, colour)), ...threshold(chart, colour)],
      annotations: annotations(chart, colour),
    };
  }

  function shade(band, colour) {
    return {
      type: "rect", xref: "x", yref: "y domain", x0: band.start, x1: band.end, y0: 0, y1: 1,
      fillcolor: colour(band.kind), opacity: 0.16, line: { width: 0 }, layer: "below",
    };
  }

  function threshold(chart, colour) {
    if (chart.threshold === null) return [];
    const line = { color: colour("text"), width: 1, dash: "dashdot" };
    return [{ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: chart.threshold, y1: chart.threshold, line }];
  }

  function annotations(chart, colour) {
    if (chart.threshold === null) return [];
    const text = `alert over ${+(chart.threshold * 100).toPrecision(3)}\u202f%`;
    const at = { xref: "paper", yref: "y", x: 0, y: chart.threshold, xanchor: "left", yanchor: "bottom" };
    return [{ ...at, text, showarrow: false, font: { size: 11, color: colour("text") } }];
  }

  return { draw, load };
})();
