// The size of the gradient by block, for random branches of a given size: plain, residual, residual with a norm.
//
// Squared, per block, going back: plain a^2; residual 1 + a^2; with a norm 1 + a^2 / s_l, where the stream has the mean
// square s_l = 1 + a^2 (l - 1). The last product telescopes to (1 + a^2 L) / (1 + a^2 l).

(() => {
    const LAWS = {
        "plain": (a, l, L) => a ** (L - l),
        "residual, no norm": (a, l, L) => (1 + a * a) ** ((L - l) / 2),
        "residual, norm": (a, l, L) => Math.sqrt((1 + a * a * L) / (1 + a * a * l)),
    };
    const LOOKS = {
        "plain": ["vermilion", "dash"],
        "residual, no norm": ["green", "dot"],
        "residual, norm": ["blue", "solid"],
    };

    const controls = [
        {name: "depth", label: "Blocks", min: 2, max: 60, step: 1, value: 40},
        {name: "scale", label: "Size of a branch", min: 0.1, max: 1.5, step: 0.1, value: 1},
    ];

    function draw({depth, scale}, colors) {
        const blocks = [...Array(depth + 1).keys()];
        const traces = Object.entries(LAWS).map(([name, law]) => ({
            type: "scatter",
            mode: "lines",
            x: blocks,
            y: blocks.map((block) => law(scale, block, depth)),
            line: {color: colors[LOOKS[name][0]], dash: LOOKS[name][1], width: 2.5},
            hoverinfo: "skip",
        }));
        const labels = Object.entries(LAWS).map(([name, law]) => ({
            x: 0,
            y: Math.log10(law(scale, 0, depth)),
            text: name,
            xanchor: "left",
            yanchor: name === "plain" ? "top" : "bottom",
            showarrow: false,
            font: {color: colors[LOOKS[name][0]]},
        }));
        return {
            traces,
            layout: {
                annotations: labels,
                xaxis: {title: {text: "block"}, range: [0, 60]},
                yaxis: {
                    title: {text: "gradient (log)", standoff: 5},
                    type: "log",
                    range: [-13, 13],
                    dtick: 4,
                    exponentformat: "power",
                },
            },
        };
    }

    // 0.015 and 6.4 as they are, 1048576 as 1.0 × 10⁶.
    function write(number) {
        const [digits, power] = number.toExponential(1).split("e").map(Number);
        if (Math.abs(power) < 3) return String(Number(number.toPrecision(2)));
        return `${digits.toFixed(1)} × 10${[...String(power)].map((sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻").join("")}`;
    }

    function say({depth, scale}) {
        const at = (name) => write(LAWS[name](scale, 0, depth));
        return `${depth} blocks, branches of size ${scale}: at the first block the gradient is ${at("plain")} times that at the last `
            + `in a plain stack, ${at("residual, no norm")} with shortcuts, ${at("residual, norm")} with shortcuts and a norm.`;
    }

    window.MOVABLE.gradient = {controls, draw, say};
})();
