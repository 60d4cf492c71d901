// Draws reports in a browser, as their readers see them, and says what became of them as a line of JSON for each file.
//
// node render.mjs NODE_MODULES FILE...          a `.md` file is a job summary, a `.html` file the page of `rekindle explain`
// With PICTURES=FOLDER each page is also photographed into that folder.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, ...files] = process.argv.slice(2);
const load = (...parts) => import(pathToFileURL(path.join(modules, ...parts)).href);
const { default: chromium } = await load('@sparticuz', 'chromium', 'build', 'esm', 'index.js');
const { default: puppeteer } = await load('puppeteer-core', 'lib', 'esm', 'puppeteer', 'puppeteer-core.js');
const { marked } = await load('marked', 'lib', 'marked.esm.js');
const mermaid = fs.readFileSync(path.join(modules, 'mermaid', 'dist', 'mermaid.min.js'), 'utf8');

const browser = await puppeteer.launch({
  args: chromium.args,
  executablePath: await chromium.executablePath(),
  headless: 'shell',
});

async function draw(file) {
  const page = await browser.newPage();
  const errors = [];
  const asked = [];
  await page.setViewport({ width: 1050, height: 800 });
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('dialog', (dialog) => {
    errors.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => asked.push(request.url()));
  const text = fs.readFileSync(file, 'utf8');
  const result = file.endsWith('.html') ? await drawPage(page, file) : await drawSummary(page, text, errors);
  if (process.env.PICTURES) {
    const picture = `${path.basename(file)}.png`;
    await page.screenshot({ path: path.join(process.env.PICTURES, picture), fullPage: true });
  }
  await page.close();
  const own = pathToFileURL(file).href;
  return { file: path.basename(file), errors, asked: asked.filter((url) => url !== own && url !== 'about:blank'), ...result };
}

async function drawPage(page, file) {
  await page.goto(pathToFileURL(file).href, { waitUntil: 'load' });
  return page.evaluate(() => ({
    rows: document.querySelectorAll('.timeline .row').length,
    // Bars that reach out of their track.
    outside: [...document.querySelectorAll('.bar')].filter((bar) => {
      const [inner, outer] = [bar.getBoundingClientRect(), bar.parentElement.getBoundingClientRect()];
      return inner.left < outer.left - 1 || inner.right > outer.right + 3;
    }).length,
  }));
}

async function drawSummary(page, text, errors) {
  const body = marked.parse(text, { gfm: true });
  const style = 'body{font:14px/1.5 system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px 8px}';
  await page.setContent(`<!doctype html><meta charset="utf-8"><style>${style}</style>${body}`, { waitUntil: 'load' });
  await page.addScriptTag({ content: mermaid });
  const drawn = await page.evaluate(async () => {
    window.mermaid.initialize({ startOnLoad: false });
    document.querySelectorAll('details').forEach((details) => (details.open = true));
    const charts = [...document.querySelectorAll('code.language-mermaid')];
    const faults = [];
    for (const [at, chart] of charts.entries()) {
      try {
        await window.mermaid.parse(chart.textContent);
        const { svg } = await window.mermaid.render(`chart${at}`, chart.textContent);
        chart.parentElement.innerHTML = svg;
      } catch (error) {
        faults.push(`${error.message} in ${chart.textContent}`);
      }
    }
    const count = (what) => document.querySelectorAll(what).length;
    return {
      faults,
      charts: count('svg[id^=chart]'),
      tables: count('table'),
      images: count('img'),
      links: count('a'),
    };
  });
  errors.push(...drawn.faults);
  delete drawn.faults;
  return drawn;
}

for (const file of files) {
  console.log(JSON.stringify(await draw(file)));
}
await browser.close();
