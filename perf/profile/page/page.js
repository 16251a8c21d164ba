'use strict';
(function () {
  const HEIGHT = 19;
  const LEAST_WIDTH = 0.4;
  const LABEL_WIDTH = 24;
  const MOST_FUNCTIONS = 25;
  const NAME = 0, VALUE = 1, BEFORE = 2, COLOUR = 3, CHILDREN = 4;
  const byId = id => document.getElementById(id);
  const graph = byId('graph');
  const tipBox = byId('tip');
  const root = data.root;
  const state = { zoom: root, search: '', onTop: false, widths: VALUE };
  const parents = new Map();
  const depths = new Map();

  (function connect() {
    const waiting = [root];
    depths.set(root, 0);
    while (waiting.length) {
      const node = waiting.pop();
      for (const child of node[CHILDREN]) {
        parents.set(child, node);
        depths.set(child, depths.get(node) + 1);
        waiting.push(child);
      }
    }
  })();

  const nameOf = node => data.names[node[NAME]];
  const matches = node => state.search !== '' && nameOf(node).toLowerCase().includes(state.search);

  /* ---- Texts ---- */

  function amount(value) {
    const rounded = Math.round(value);
    if (data.unit === 'bytes') {
      for (const [name, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) {
        if (Math.abs(rounded) >= size)
          return (rounded / size).toFixed(1) + ' ' + name;
      }
      return rounded + ' bytes';
    }
    return rounded.toLocaleString('en') + ' ' + data.unit;
  }

  const percent = (part, whole) => (whole ? 100 * part / whole : 0).toFixed(2) + ' %';
  const points = change => (change < 0 ? '−' : '+') + Math.abs(root[VALUE] ? 100 * change / root[VALUE] : 0).toFixed(2);

  function describe(node) {
    const lines = [`${amount(node[VALUE])}: ${percent(node[VALUE], root[VALUE])} of all`];
    if (state.zoom !== root)
      lines.push(`${percent(node[VALUE], state.zoom[VALUE])} of ${nameOf(state.zoom)}`);
    const own = node[VALUE] - node[CHILDREN].reduce((sum, child) => sum + child[VALUE], 0);
    lines.push(`itself ${percent(own, root[VALUE])}`);
    if (data.diff)
      lines.push(`before ${percent(node[BEFORE], root[BEFORE])}: ${points(node[VALUE] - node[BEFORE])} points`);
    return lines;
  }

  /* ---- Drawing ---- */

  function element(tag, text) {
    const made = document.createElement(tag);
    if (text !== undefined)
      made.textContent = text;
    return made;
  }

  function drawFrame(node, x, width, depth, rows, under) {
    const box = element('div', width >= LABEL_WIDTH ? nameOf(node) : '');
    box.className = 'frame' + (width < LABEL_WIDTH ? ' narrow' : '') + (under ? ' under' : '') + (matches(node) ? ' match' : '');
    box.style.left = x + 'px';
    box.style.width = width + 'px';
    box.style.top = (state.onTop ? depth : rows - 1 - depth) * HEIGHT + 'px';
    box.style.background = data.colours[node[COLOUR]];
    box.node = node;
    return box;
  }

  /* Collects what is to be seen: the frames under the zoomed one across the whole width, then all above it. */
  function visible(room) {
    const seen = [];
    for (let node = parents.get(state.zoom); node; node = parents.get(node))
      seen.push([node, 0, room, true]);
    const all = state.zoom[state.widths];
    const waiting = all ? [[state.zoom, 0]] : [];
    while (waiting.length) {
      const [node, x] = waiting.pop();
      seen.push([node, x, room * node[state.widths] / all, false]);
      let next = x;
      for (const child of node[CHILDREN]) {
        const width = room * child[state.widths] / all;
        if (width >= LEAST_WIDTH)
          waiting.push([child, next]);
        next += width;
      }
    }
    return seen;
  }

  function draw() {
    const frames = visible(graph.clientWidth);
    graph.replaceChildren();
    byId('reset').hidden = state.zoom === root;
    if (!root[VALUE]) {
      const empty = element('div', 'no samples');
      empty.id = 'empty';
      graph.append(empty);
      return;
    }
    const rows = 1 + frames.reduce((most, [node]) => Math.max(most, depths.get(node)), 0);
    graph.style.height = rows * HEIGHT + 'px';
    graph.append(...frames.map(([node, x, width, under]) => drawFrame(node, x, width, depths.get(node), rows, under)));
  }

  function zoomTo(node) {
    state.zoom = node;
    draw();
  }

  /* ---- Search ---- */

  /* A stack counts once, however often what is searched is in it. */
  function matchedValue() {
    let sum = 0;
    const waiting = [root];
    while (waiting.length) {
      const node = waiting.pop();
      if (matches(node))
        sum += node[VALUE];
      else
        waiting.push(...node[CHILDREN]);
    }
    return sum;
  }

  function search(text) {
    state.search = text.trim().toLowerCase();
    byId('search').value = text;
    byId('matched').textContent = state.search ? percent(matchedValue(), root[VALUE]) + ' matched' : '';
    draw();
  }

  /* ---- Functions ---- */

  /* [name, own value, value with what it calls (once a stack), its change] of each function. */
  function functions() {
    const found = new Map();
    const waiting = [[root, new Set()]];
    while (waiting.length) {
      const [node, above] = waiting.pop();
      const name = node[NAME];
      const entry = found.get(name) || { name: nameOf(node), own: 0, all: 0, change: 0 };
      found.set(name, entry);
      entry.own += node[VALUE] - node[CHILDREN].reduce((sum, child) => sum + child[VALUE], 0);
      if (!above.has(name)) {
        entry.all += node[VALUE];
        entry.change += node[VALUE] - node[BEFORE];
      }
      const below = new Set(above).add(name);
      for (const child of node[CHILDREN])
        waiting.push([child, below]);
    }
    found.delete(root[NAME]);
    const order = data.diff ? (a, b) => Math.abs(b.change) - Math.abs(a.change) : (a, b) => b.own - a.own || b.all - a.all;
    return Array.from(found.values()).sort(order).slice(0, MOST_FUNCTIONS);
  }

  function fillTable() {
    const table = byId('functions');
    const row = (tag, cells) => {
      const made = element('tr');
      made.append(...cells.map(cell => element(tag, cell)));
      return made;
    };
    table.append(row('th', ['itself', 'with callees'].concat(data.diff ? ['change, points'] : [], ['function'])));
    for (const entry of functions()) {
      const cells = [percent(entry.own, root[VALUE]), percent(entry.all, root[VALUE])];
      const made = row('td', cells.concat(data.diff ? [points(entry.change)] : [], [entry.name]));
      made.lastChild.addEventListener('click', () => search(entry.name));
      table.append(made);
    }
  }

  /* ---- What people do ---- */

  function showTip(event) {
    const node = event.target.node;
    tipBox.hidden = !node;
    if (!node)
      return;
    tipBox.replaceChildren(element('b', nameOf(node)));
    for (const line of describe(node))
      tipBox.append(element('div', line));
    const x = Math.min(event.clientX + 14, innerWidth - tipBox.offsetWidth - 8);
    const below = event.clientY + 18;
    const y = below + tipBox.offsetHeight > innerHeight ? event.clientY - tipBox.offsetHeight - 10 : below;
    tipBox.style.left = Math.max(x, 4) + 'px';
    tipBox.style.top = y + 'px';
  }

  graph.addEventListener('mousemove', showTip);
  graph.addEventListener('mouseleave', () => { tipBox.hidden = true; });
  graph.addEventListener('click', event => {
    if (event.target.node)
      zoomTo(event.target.node);
  });
  byId('reset').addEventListener('click', () => zoomTo(root));
  byId('search').addEventListener('input', event => search(event.target.value));
  byId('turn').addEventListener('click', () => {
    state.onTop = !state.onTop;
    byId('turn').textContent = state.onTop ? 'Roots at the bottom' : 'Roots on top';
    draw();
  });
  byId('widths').addEventListener('click', () => {
    state.widths = state.widths === VALUE ? BEFORE : VALUE;
    byId('widths').textContent = state.widths === VALUE ? 'Widths: after' : 'Widths: before';
    draw();
  });
  document.addEventListener('keydown', event => {
    if (event.key === '/' && document.activeElement !== byId('search')) {
      event.preventDefault();
      byId('search').focus();
    } else if (event.key === 'Escape') {
      search('');
      zoomTo(root);
    }
  });
  addEventListener('resize', draw);

  byId('widths').hidden = byId('legend').hidden = !data.diff;
  fillTable();
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.get('widths') === 'before')
    byId('widths').click();
  search(asked.get('search') || '');
})();
