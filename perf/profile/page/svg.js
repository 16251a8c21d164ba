/* Zoom by a click, search by name; #search=TEXT in the address searches at once. */
'use strict';
(function () {
  const svg = document.documentElement;
  const margin = Number(svg.dataset.margin);
  const total = Number(svg.dataset.total);
  const letter = Number(svg.dataset.letter);
  const room = svg.viewBox.baseVal.width - 2 * margin;
  const byId = id => document.getElementById(id);
  const frames = Array.from(document.querySelectorAll('.f'), group => {
    const rect = group.querySelector('rect');
    return {
      group, rect, text: group.querySelector('text'), name: group.dataset.n, value: Number(group.dataset.v),
      x: Number(rect.getAttribute('x')), width: Number(rect.getAttribute('width')), y: Number(rect.getAttribute('y')),
    };
  });

  function shorten(name, width) {
    const letters = Math.floor((width - 6) / letter);
    if (letters < 3)
      return '';
    return name.length <= letters ? name : name.slice(0, letters - 1) + '…';
  }

  function place(frame, x, width) {
    frame.rect.setAttribute('x', x);
    frame.rect.setAttribute('width', width);
    frame.text.setAttribute('x', x + 3);
    frame.text.textContent = shorten(frame.name, width);
  }

  function zoom(to) {
    const scale = room / to.width;
    const end = to.x + to.width;
    for (const frame of frames) {
      const under = frame.y > to.y && frame.x <= to.x + 0.02 && frame.x + frame.width >= end - 0.02;
      const inside = frame.y <= to.y && frame.x >= to.x - 0.02 && frame.x + frame.width <= end + 0.02;
      frame.group.style.display = under || inside ? '' : 'none';
      frame.group.classList.toggle('dim', under);
      if (under)
        place(frame, margin, room);
      else if (inside)
        place(frame, margin + (frame.x - to.x) * scale, frame.width * scale);
    }
    byId('reset').style.visibility = to.width < room - 0.1 ? 'visible' : 'hidden';
  }

  /* What matches counts once, however often a stack has it: the lowest matching frame of each stack does. */
  function search(text) {
    const wanted = text.toLowerCase();
    const hits = frames.filter(frame => wanted && frame.name.toLowerCase().includes(wanted));
    for (const frame of frames)
      frame.group.classList.toggle('match', hits.includes(frame));
    const covered = [];
    let sum = 0;
    for (const hit of hits.sort((a, b) => b.y - a.y || a.x - b.x)) {
      if (covered.some(low => hit.x >= low.x - 0.02 && hit.x + hit.width <= low.x + low.width + 0.02))
        continue;
      covered.push(hit);
      sum += hit.value;
    }
    byId('matched').textContent = wanted ? `${text}: ${(total ? 100 * sum / total : 0).toFixed(2)} %` : '';
    byId('search').textContent = wanted ? 'Reset search' : 'Search';
    searched = wanted;
  }

  let searched = '';
  byId('search').addEventListener('click', () => search(searched ? '' : prompt('Part of a name:') || ''));
  byId('reset').addEventListener('click', () => zoom(frames[0]));
  document.addEventListener('click', event => {
    const group = event.target.closest('.f');
    if (group)
      zoom(frames.find(frame => frame.group === group));
  });
  document.addEventListener('keydown', event => {
    if ((event.ctrlKey && event.key === 'f') || event.key === '/') {
      event.preventDefault();
      search(prompt('Part of a name:') || '');
    }
  });
  const asked = new URLSearchParams(location.hash.slice(1)).get('search');
  if (asked)
    search(asked);
})();
