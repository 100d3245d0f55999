// Which entries of a (batch, time, feature) tensor share a mean with a chosen one?

(() => {
    const SENTENCES = 3, TOKENS = 4, FEATURES = 6, GROUP = 3;

    // For each norm: whether two entries are averaged together, and what all of them have in common, in words.
    const NORMS = {
        "LayerNorm": [(a, b) => a.s === b.s && a.t === b.t, "all features of its token"],
        "RMSNorm": [(a, b) => a.s === b.s && a.t === b.t, "all features of its token, for a mean of squares"],
        "BatchNorm": [(a, b) => a.f === b.f, "its feature in every token of every sentence"],
        "InstanceNorm": [(a, b) => a.s === b.s && a.f === b.f, "its feature in every token of its sentence"],
        "GroupNorm, 2 groups": [
            (a, b) => a.s === b.s && Math.floor(a.f / GROUP) === Math.floor(b.f / GROUP),
            "its half of the features in every token of its sentence",
        ],
    };

    const ENTRIES = [...Array(SENTENCES * TOKENS * FEATURES).keys()].map((index) => ({
        s: Math.floor(index / (TOKENS * FEATURES)),
        t: Math.floor(index / FEATURES) % TOKENS,
        f: index % FEATURES,
    }));

    const controls = [
        {name: "norm", label: "Norm", options: Object.keys(NORMS), value: "LayerNorm"},
        {name: "entry", label: "Entry", min: 1, max: ENTRIES.length, step: 1, value: 33},
    ];

    function shared({norm, entry}) {
        const chosen = ENTRIES[entry - 1];
        return ENTRIES.map((each) => NORMS[norm][0](chosen, each));
    }

    function draw(state, colors, width) {
        const together = shared(state);
        const color = (_, index) =>
            index === state.entry - 1 ? colors.vermilion : together[index] ? colors.blue : colors.quiet;
        const symbol = (_, index) => (index === state.entry - 1 ? "star-square" : together[index] ? "square" : "square-open");
        const trace = {
            type: "scatter",
            mode: "markers",
            x: ENTRIES.map(({s, f}) => s * (FEATURES + 1) + f),
            y: ENTRIES.map(({t}) => t),
            marker: {size: Math.min(17, width / 32), color: ENTRIES.map(color), symbol: ENTRIES.map(symbol)},
            hoverinfo: "skip",
        };
        const titles = [...Array(SENTENCES).keys()];
        return {
            traces: [trace],
            layout: {
                height: 260,
                xaxis: {
                    tickvals: titles.map((s) => s * (FEATURES + 1) + (FEATURES - 1) / 2),
                    ticktext: titles.map((s) => `sentence ${s + 1}`),
                    tickangle: 0,
                    tickfont: {size: 12},
                    showgrid: false,
                },
                yaxis: {
                    tickvals: [0, 1, 2, 3],
                    ticktext: ["1", "2", "3", "4"],
                    autorange: "reversed",
                    title: {text: "token"},
                    showgrid: false,
                },
            },
        };
    }

    function say(state) {
        const {s, t, f} = ENTRIES[state.entry - 1];
        const others = shared(state).filter(Boolean).length - 1;
        return `${state.norm}: feature ${f + 1} of token ${t + 1} in sentence ${s + 1} is averaged together with `
            + `${others} other entries: ${NORMS[state.norm][1]}.`;
    }

    window.MOVABLE.axes = {controls, draw, say};
})();
