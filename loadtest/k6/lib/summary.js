// The summary of a run: a short text on the terminal and, where HTML names a file,
// a page that needs nothing else.
import { gateways } from './settings.js';

const thousands = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ',');
const short = (n) => (n >= 100 ? thousands(n) : n.toFixed(n >= 10 ? 1 : 2));
const percent = (share) => `${(100 * share).toFixed(share === 1 || share === 0 ? 0 : 3)} %`;

function shown(value, metric) {
  if (value === undefined) {
    return 'nothing';
  }
  if (metric.type === 'rate') {
    return percent(value);
  }
  if (metric.type === 'counter') {
    return thousands(value);
  }
  return metric.contains === 'time' ? `${short(value)} ms` : short(value);
}

// thresholds are rows { ok, metric, wanted, got }, the missed ones first.
function thresholds(metrics) {
  const rows = Object.entries(metrics).filter(([, metric]) => metric.thresholds).map(([name, metric]) => {
    const conditions = Object.keys(metric.thresholds).sort();
    return {
      ok: Object.values(metric.thresholds).every(({ ok }) => ok),
      metric: name,
      wanted: conditions.join(', '),
      got: conditions.map((wanted) => shown(metric.values[wanted.split(/[<>=]/)[0]], metric)).join(', '),
    };
  });
  return rows.sort((a, b) => a.ok - b.ok || a.metric.localeCompare(b.metric));
}

// checks are rows { ok, name, passes, fails }, the failed ones first.
function checks(group) {
  const rows = group.checks.map(({ name, passes, fails }) => ({ ok: fails === 0, name, passes, fails }));
  return rows.concat(group.groups.flatMap(checks)).sort((a, b) => b.fails - a.fails || a.name.localeCompare(b.name));
}

// scenarios are rows of numbers, as the thresholds name them.
function scenarios(metrics, names) {
  return names.flatMap((name) => {
    const [, scenario] = /^http_req_duration\{scenario:([^}]+)\}$/.exec(name) || [];
    if (!scenario) {
      return [];
    }
    const { values } = metrics[name];
    const time = (key) => (values.count ? `${short(values[key])} ms` : '-');
    return [[scenario, thousands(values.count || 0), time('med'), time('p(95)'), time('p(99)'), time('max')]];
  });
}

// others are the suite's own metrics.
function others(metrics) {
  return Object.entries(metrics).flatMap(([name, { type, contains, values }]) => {
    if (!/^[a-z_]+$/.test(name) || /^(http_|iteration|vus|data_|checks|group_|dropped_)/.test(name)) {
      return [];
    }
    if (type === 'trend') {
      const unit = contains === 'time' ? ' ms' : '';
      return [[name, thousands(values.count), ...['med', 'p(95)', 'p(99)', 'max'].map((key) => short(values[key]) + unit)]];
    }
    return [[name, type === 'counter' ? thousands(values.count) : short(values.value), '', '', '', '']];
  });
}

const head = ['', 'count', 'median', '95 %', '99 %', 'most'];

function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => (
    `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}`.trimEnd()));
}

function text(name, what, run) {
  const mark = (ok) => (ok ? 'ok  ' : 'MISS');
  const lines = [
    `${name}: ${run.passed ? 'passed' : 'FAILED'} after ${run.seconds.toFixed(0)} s: ${what}`, '',
    ...table([head, ...run.numbers]), '',
    ...table(run.thresholds.map((t) => [`${mark(t.ok)}  ${t.metric}`, t.wanted, t.got])), '',
    `  ${thousands(run.checks.reduce((sum, c) => sum + c.passes, 0))} checks held in ${run.checks.length} kinds`,
    ...run.checks.filter((c) => !c.ok).map((c) => `  MISS  ${c.name}: ${thousands(c.fails)} of ${thousands(c.fails + c.passes)} failed`),
  ];
  return `\n${lines.join('\n')}\n\n`;
}

const escaped = (value) => String(value).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;');

function rows(cells, first = 'td') {
  return cells.map(([ok, ...row]) => (
    `<tr${ok ? '' : ' class="miss"'}>${row.map((cell, i) => `<${i ? 'td' : first}>${escaped(cell)}</${i ? 'td' : first}>`).join('')}</tr>`)).join('\n');
}

const style = `
  body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
  h1 span { font-size: 1rem; padding: .2em .7em; border-radius: 1em; color: #fff; vertical-align: middle }
  .passed { background: #1a7f4b } .FAILED { background: #c22f3d }
  h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
  table { border-collapse: collapse; width: 100% }
  th, td { padding: .3rem .8rem; border-bottom: 1px solid #dde3ea; text-align: right; font-variant-numeric: tabular-nums }
  th { font-weight: 600 } th:first-child, td:first-child { text-align: left }
  .miss td { background: #fdecee; color: #a51d2d; font-weight: 600 }
  iframe { border: 0; width: 100%; height: 215rem }`;

function page(name, what, run) {
  const verdict = run.passed ? 'passed' : 'FAILED';
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(name)}: ${verdict}</title>
<style>${style}</style>
<h1>${escaped(name)} <span class="${verdict}">${verdict}</span></h1>
<p>${escaped(what)}. ${run.seconds.toFixed(0)} seconds against ${escaped(gateways.join(', '))}, ended ${new Date().toISOString()}.</p>
<h2>Numbers</h2>
<table>${rows([[true, ...head]], 'th').replace(/td>/g, 'th>')}${rows(run.numbers.map((row) => [true, ...row]))}</table>
<h2>Thresholds</h2>
<table>${rows(run.thresholds.map((t) => [t.ok, t.metric, t.wanted, t.got]))}</table>
<h2>Checks</h2>
<table>${rows(run.checks.map((c) => [c.ok, c.name, `${thousands(c.passes)} held`, `${thousands(c.fails)} failed`]))}</table>
<!-- charts -->
</html>
`;
}

// summary makes the function that k6 calls at the end. what says in a few words
// what happened.
export function summary(name, what, options) {
  const order = Object.keys(options.thresholds); // later k6 shuffles them
  return (data) => {
    const { metrics } = data;
    const run = {
      seconds: data.state.testRunDurationMs / 1000,
      thresholds: thresholds(metrics),
      checks: checks(data.root_group),
      numbers: [...scenarios(metrics, order), ...others(metrics)],
    };
    run.passed = run.thresholds.every((t) => t.ok);
    return { stdout: text(name, what, run), ...(__ENV.HTML && { [__ENV.HTML]: page(name, what, run) }) };
  };
}
