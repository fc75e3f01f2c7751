// Draws failure rates with plotly.js in the page's colours. Loads plotly.js only from this server.
"use strict";
const charts = (() => {
  const DASHES = { broken: "solid", unreachable: "dash", withheld: "dot", code: "solid" };
  const FEW = 20;
  let latest = null;

  function load(address) {
    if (!document.getElementById("chart")) return;
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", () => latest && draw(...latest));
    document.head.append(script);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => latest && draw(...latest));
    addEventListener("themechange", () => latest && draw(...latest));
  }

  function draw(place, chart) {
    if (!place) return;
    latest = [place, chart];
    if (!window.Plotly) return;
    const colour = palette(place);
    Plotly.react(place, traces(chart, colour), layout(chart, colour, place.clientWidth < 500), {
      displayModeBar: false,
      responsive: true,
      scrollZoom: false,
      doubleClick: false,
    });
  }

  // The style sheet's colours as they are at this moment: plotly.js does not know light-dark().
  function palette(place) {
    const probe = document.createElement("span");
    place.append(probe);
    const seen = new Map();
    for (const name of ["text", "quiet", "line", "surface", "broken", "unreachable", "withheld", "code", "firing", "pending"]) {
      probe.style.color = `var(--${name})`;
      seen.set(name, getComputedStyle(probe).color);
    }
    probe.remove();
    return (name) => seen.get(name);
  }

  function traces(chart, colour) {
    const lines = chart.lines.map((line) => ({
      type: "scatter",
      mode: "lines",
      name: line.name,
      x: chart.at,
      y: line.rates.map((rate) => (rate === null ? null : 100 * rate)),
      customdata: line.failures,
      line: { color: colour(line.kind), dash: DASHES[line.kind], width: 2 },
      hovertemplate: "%{y:.3r}\u202f% (%{customdata:,d})",
    }));
    const volume = {
      type: "scatter",
      mode: "lines",
      name: chart.volume,
      x: chart.at,
      y: chart.attempts,
      yaxis: "y2",
      fill: "tozeroy",
      line: { color: colour("quiet"), width: 1 },
      hovertemplate: "%{y:,d}",
    };
    return [...lines, volume];
  }

  function layout(chart, colour, isNarrow) {
    const hasRates = chart.lines.length > 0;
    const highest = 100 * Math.max(peak(chart, FEW) || peak(chart, 0), chart.threshold ?? 0, 0.001);
    const axis = { color: colour("quiet"), gridcolor: colour("line"), zerolinecolor: colour("line"), fixedrange: true };
    return {
      margin: { l: isNarrow ? 44 : 56, r: 40, t: 8, b: 40 },
      height: isNarrow ? 260 : 320,
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      separators: ".\u202f",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("text") },
      hovermode: "x unified",
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text") } },
      dragmode: false,
      showlegend: false,
      xaxis: { ...axis, type: "date", range: [chart.at[0], chart.at.at(-1)], anchor: "y2", tickformat: "%H:%M\n%d %b", hoverformat: "%H:%M UTC", nticks: isNarrow ? 4 : 9 },
      yaxis: { ...axis, visible: hasRates, domain: hasRates ? [0.27, 1] : [0, 1], range: [0, Math.min(highest * 1.15, 102)], ticksuffix: "\u202f%" },
      yaxis2: { ...axis, domain: [0, hasRates ? 0.17 : 1], rangemode: "tozero", nticks: hasRates ? 3 : 6, title: { text: isNarrow ? "" : chart.volume.toLowerCase(), font: { size: 11 } } },
      shapes: [...chart.bands.map((band) => shade(band, colour)), ...threshold(chart, colour)],
      annotations: annotations(chart, colour),
    };
  }

  // One failure among three messages is 33 %: moments with few messages must not set the scale for all others.
  function peak(chart, fewest) {
    const rates = chart.lines.flatMap((line) => line.rates.filter((_, place) => chart.attempts[place] >= fewest));
    return Math.max(...rates, 0);
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
    return [{ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: 100 * chart.threshold, y1: 100 * chart.threshold, line }];
  }

  function annotations(chart, colour) {
    if (chart.threshold === null) return [];
    const text = `${+(chart.threshold * 100).toPrecision(3)}\u202f%`;
    const at = { xref: "paper", yref: "y", x: 1, y: 100 * chart.threshold, xanchor: "left", yanchor: "middle" };
    return [{ ...at, text, showarrow: false, font: { size: 12, color: colour("text") } }];
  }

  return { draw, load };
})();
