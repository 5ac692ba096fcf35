'use strict';
// Fills the page from the server's events. Texts go in as texts; only drawings, which the server makes of numbers,
// as markup.

const boiler = decodeURIComponent(location.pathname.split('/')[2] || '');
const byId = id => document.getElementById(id);
const LOST_MS = 4000, OLD_MS = 60000;
let source, shownWidth, heard = Date.now();

byId(boiler ? 'boiler' : 'overview').hidden = false;
document.title = boiler ? boiler + ' · Thermowell' : 'Thermowell';

// Drawings are not scaled, so that their text stays readable.
function width() {
  const room = document.documentElement.clientWidth;
  return room >= 1200 ? 1120 : room >= 790 ? 720 : 358;
}

function local(seconds) {
  return new Date(seconds * 1000).toLocaleString() + ' local time';
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A drawing that replaces another keeps the focus on the same part.
function draw(element, svg) {
  const focused = element.contains(document.activeElement) && document.activeElement.dataset.k;
  element.innerHTML = svg;
  if (focused) element.querySelector('[data-k="' + focused + '"]')?.focus();
}

// Rows are changed in place: a link keeps its focus.
function fill(table, rows) {
  const template = byId(table.dataset.row).content.firstElementChild;
  while (table.children.length > rows.length) table.lastElementChild.remove();
  rows.forEach((row, at) => {
    const element = table.children[at] || table.appendChild(template.cloneNode(true));
    row.t.forEach((text, cell) => {
      const place = element.querySelector('[data-c="' + cell + '"]');
      if (place) setText(place, text);
    });
    if (row.at) element.firstElementChild.title = local(row.at);
    if (row.s) element.dataset.s = row.s;
    if (row.svg) draw(element.querySelector('[data-svg]'), row.svg);
    const link = element.matches('[data-to]') ? element : element.querySelector('[data-to]');
    if (row.to && link) {
      link.href = '/b/' + encodeURIComponent(row.to);
      if (row.to === boiler) link.setAttribute('aria-current', 'page');
    }
  });
}

function show(frame) {
  heard = Date.now();
  const each = (part, change) => {
    for (const [id, value] of Object.entries(part)) {
      const element = byId(id);
      if (element) change(element, value, id);
    }
  };
  each(frame.t, (element, text, id) => {
    setText(element, text);
    if (!(id in frame.at)) element.removeAttribute('title');
  });
  each(frame.s, (element, state) => { element.dataset.s = state; });
  each(frame.w, (element, percent) => { element.style.width = percent + '%'; });
  each(frame.at, (element, seconds) => { element.title = local(seconds); });
  each(frame.svg, draw);
  each(frame.rows, fill);
  const now = new Date(frame.now);
  setText(byId('clock'), now.toISOString().slice(11, 19) + ' UTC');
  byId('clock').title = local(frame.now / 1000);
  watch();
}

// By this browser's own clock: the server cannot say that it is not heard.
function watch() {
  const silent = Date.now() - heard;
  const lost = silent >= LOST_MS;
  byId('link').dataset.s = lost ? 'lost' : 'up';
  document.body.dataset.lost = silent >= OLD_MS ? 'old' : lost ? 'lost' : 'no';
  if (!lost) return;
  setText(byId('clock'), 'no connection for ' + Math.floor(silent / 1000) + ' s');
  if (silent >= OLD_MS) {
    document.querySelectorAll('.value').forEach(element => setText(element, '–'));
    document.querySelectorAll('.pill').forEach(element => setText(element, 'no connection'));
    document.querySelectorAll('.pill, #tabs a, #boilers tr').forEach(element => { element.dataset.s = 'stale'; });
    ['burner', 'fault', 'ledger'].forEach(id => { byId(id).dataset.s = 'unknown'; });
    document.querySelectorAll('.meter i').forEach(element => { element.style.width = '0'; });
  }
}

function connect() {
  if (source) source.close();
  shownWidth = width();
  const url = '/events?w=' + shownWidth + (boiler ? '&boiler=' + encodeURIComponent(boiler) : '');
  source = new EventSource(url);
  for (const name of ['values', 'charts']) source.addEventListener(name, event => show(JSON.parse(event.data)));
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) refused(url); };
}

// The browser does not tell an EventSource why it was refused.
async function refused(url) {
  const stop = new AbortController();
  try {
    const answer = await fetch(url, { signal: stop.signal });
    setText(byId('server'), answer.ok ? '' : await answer.text());
  } catch { /* The server is gone: the clock says so. */ }
  stop.abort();
  setTimeout(connect, 5000);
}

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !['j', 'k'].includes(event.key)) return;
  const links = [...byId('tabs').children];
  const at = links.findIndex(link => link.hasAttribute('aria-current'));
  const next = links[event.key === 'j' ? at + 1 : at < 0 ? links.length - 1 : at - 1];
  if (next) next.click();
});
window.addEventListener('resize', () => { if (width() !== shownWidth) connect(); });
setInterval(watch, 500);
connect();
