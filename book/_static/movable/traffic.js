// How long the messages of a training step take: the gradients' and those of synchronized batch normalization.
//
// As in resnorm_lib.parallel.costs, for the ResNet-50 of the chapter: r rounds of the latency, and the bytes by the bandwidth.

(() => {
    const PARAMETERS = 25557032, LAYERS = 53, CHANNELS = 26560, FLOAT32 = 4;
    const ROUNDS = {tree: (N) => Math.ceil(Math.log2(N)), ring: (N) => N - 1};
    const DEVICES = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

    const controls = [
        {name: "devices", label: "Devices", options: DEVICES.map(String), value: "64"},
        {name: "latency", label: "Latency (µs)", min: 1, max: 50, step: 1, value: 10},
        {name: "bandwidth", label: "Bandwidth (GB/s)", min: 5, max: 400, step: 5, value: 25},
        {name: "algorithm", label: "Algorithm", options: ["tree", "ring"], value: "tree"},
    ];

    // In milliseconds. An all-reduce is two halves, each of r rounds; all-gather and all-reduce are three.
    function times({latency, bandwidth, algorithm}, N) {
        const round = ROUNDS[algorithm](N) * latency / 1e3;
        const bytes = (size) => (1 - 1 / N) * FLOAT32 * size / (bandwidth * 1e6);
        return {
            gradients: 2 * round + bytes(2 * PARAMETERS),
            rounds: 3 * LAYERS * round,
            statistics: 3 * LAYERS * round + bytes(N * (2 * CHANNELS + LAYERS) + 4 * CHANNELS),
        };
    }

    function draw(state, colors) {
        const all = DEVICES.map((N) => times(state, N));
        const chosen = DEVICES.indexOf(Number(state.devices));
        const last = all.at(-1);
        const above = last.statistics > last.gradients;
        const looks = {gradients: ["gradients", colors.blue, "solid", !above], statistics: ["SyncBatchNorm", colors.vermilion, "dash", above]};
        const traces = [], annotations = [];
        for (const [name, [text, color, dash, top]] of Object.entries(looks)) {
            const y = all.map((each) => each[name]);
            const size = y.map((_, index) => (index === chosen ? 12 : 0));
            traces.push({mode: "lines+markers", x: DEVICES, y, line: {color, dash, width: 2.5}, marker: {size, color, symbol: "circle"}});
            annotations.push({
                x: Math.log10(1000), y: Math.log10(y.at(-1)), text, xanchor: "right",
                yanchor: top ? "bottom" : "top", yshift: top ? 6 : -6, font: {color},
            });
        }
        const ticks = [2, 8, 64, 1024];
        return {
            traces,
            layout: {
                annotations,
                xaxis: {type: "log", range: [0.2, 3.3], title: {text: "devices (log)"}, tickvals: ticks.map(Math.log10), ticktext: ticks.map(String)},
                yaxis: {type: "log", range: [-1.2, 4.3], dtick: 1, title: {text: "ms a step (log)"}},
            },
        };
    }

    const write = (ms) => (ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2));

    function say(state) {
        const {gradients, rounds, statistics} = times(state, Number(state.devices));
        return `${state.devices} devices, ${state.latency} µs a round, ${state.bandwidth} GB/s, ${state.algorithm}: the gradients take `
            + `${write(gradients)} ms a step. The statistics of SyncBatchNorm take ${write(statistics)} ms, of which `
            + `${write(rounds)} ms are rounds. LayerNorm sends nothing.`;
    }

    window.MOVABLE.traffic = {controls, draw, say};
})();
