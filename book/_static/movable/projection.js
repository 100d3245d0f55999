// A vector of three features, its projection and its rescaling by LayerNorm or RMSNorm, seen from a side to choose.

(() => {
    const ROOT3 = Math.sqrt(3);
    const mean = (v) => v.reduce((sum, each) => sum + each, 0) / v.length;
    const size = (v) => Math.sqrt(mean(v.map((each) => each * each)));
    const write = (v) => `(${v.map((each) => (Math.abs(each) < 0.005 ? 0 : each).toFixed(2)).join(", ")})`;

    const controls = [
        {name: "norm", label: "Norm", options: ["LayerNorm", "RMSNorm"], value: "LayerNorm"},
        ...[1, 2, 3].map((index) => ({name: `x${index}`, label: `Feature ${index}`, min: -3, max: 3, step: 0.25, value: [1, 2, 3][index - 1]})),
        {name: "turn", label: "View from (degrees)", min: 0, max: 360, step: 10, value: 20},
    ];

    function compute({norm, x1, x2, x3}) {
        const x = [x1, x2, x3];
        const centred = norm === "LayerNorm" ? x.map((each) => each - mean(x)) : x;
        const deviation = size(centred);
        return {x, centred, deviation, y: centred.map((each) => (deviation ? each / deviation : 0))};
    }

    // Turn about the third axis, then look down from 20 degrees.
    function seen([a, b, c], turn) {
        const angle = (turn * Math.PI) / 180, tilt = (20 * Math.PI) / 180;
        const depth = a * Math.cos(angle) - b * Math.sin(angle);
        return [a * Math.sin(angle) + b * Math.cos(angle), c * Math.cos(tilt) - depth * Math.sin(tilt)];
    }

    function path(points, turn, look) {
        const flat = points.map((point) => seen(point, turn));
        return {type: "scatter", mode: "lines", x: flat.map((p) => p[0]), y: flat.map((p) => p[1]), hoverinfo: "skip", ...look};
    }

    function circle() {
        const u = [1, -1, 0].map((each) => each / Math.SQRT2), v = [1, 1, -2].map((each) => each / Math.sqrt(6));
        return [...Array(73).keys()].map((step) => {
            const angle = (step * 5 * Math.PI) / 180;
            return u.map((each, index) => ROOT3 * (each * Math.cos(angle) + v[index] * Math.sin(angle)));
        });
    }

    function draw(state, colors) {
        const {x, centred, y} = compute(state);
        const origin = [0, 0, 0];
        const arrow = (to, color, dash, symbol) =>
            path([origin, to], state.turn, {mode: "lines+markers", line: {color, dash, width: 3}, marker: {color, size: [0, 11], symbol}});
        const axes = [0, 1, 2].map((index) => {
            const end = origin.map((_, place) => (place === index ? 3.3 : 0));
            return path([origin, end], state.turn, {line: {color: colors.quiet, width: 2}});
        });
        const label = (point, text, color) => ({x: seen(point, state.turn)[0], y: seen(point, state.turn)[1], text, showarrow: false, yshift: 14, font: {color}});
        return {
            traces: [
                ...axes,
                path(circle(), state.turn, {line: {color: colors.ink, width: 1, dash: "dot"}}),
                arrow(x, colors.blue, "solid", "circle"),
                ...(state.norm === "LayerNorm" ? [path([x, centred], state.turn, {line: {color: colors.green, dash: "dash", width: 2}})] : []),
                arrow(y, colors.vermilion, "solid", "square"),
            ],
            layout: {
                height: 380,
                margin: {l: 0, r: 0, t: 0, b: 0},
                annotations: [label(x, "x", colors.blue), label(y, "y", colors.vermilion)],
                xaxis: {range: [-4.3, 4.3], visible: false},
                yaxis: {range: [-3.9, 4.3], visible: false, scaleanchor: "x"},
            },
        };
    }

    function say(state) {
        const {x, deviation, y} = compute(state);
        const measured = state.norm === "LayerNorm"
            ? `mean ${mean(x).toFixed(2)}, deviation ${deviation.toFixed(2)}`
            : `root mean square ${deviation.toFixed(2)}`;
        if (!deviation) return `x = ${write(x)}: ${measured}. There is nothing left to rescale, and y is 0.`;
        const where = state.norm === "LayerNorm" ? "on the dotted circle, the vectors of mean 0 and length 1.73" : "on the sphere of radius 1.73";
        return `x = ${write(x)}: ${measured}. ${state.norm} gives y = ${write(y)}, ${where}.`;
    }

    window.MOVABLE.projection = {controls, draw, say};
})();
