// Writes a row of internal/docs/text-bytes.json, from which docs/authenticated-code.md has its tables: `pnpm text-bytes "NAME" DUMP PACKAGE.deb`.
// Full dumps of Debian guests are made by `pnpm guests dump`; they are too large to be kept here.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

const [dump, file, vmlinux] = process.argv.slice(2);
if (vmlinux === undefined) {
  console.error('usage: pnpm text-bytes "NAME" DUMP PACKAGE.deb');
  process.exit(2);
}
const dist = (path) => import(join(root, 'packages', path));
const heki = join(root, 'packages/heki/dist/main.js');
const audit = spawnSync('node', [heki, 'audit', file, '--vmlinux', vmlinux, '--json'], {
  maxBuffer: 2 ** 28,
  stdio: ['ignore', 'pipe', 'inherit'],
});
// 1: it has findings, which say nothing of the code.
if (audit.status !== 0 && audit.status !== 1) process.exit(audit.status ?? 3);
const { text, modules } = JSON.parse(audit.stdout.toString()).contents;
const { bytes, compared, differing, explained, unexplained } = text;

const { openSubject } = await dist('heki/dist/protect/open-subject.js');
const { openNames } = await dist('heki/dist/names/open-names.js');
const { runningImage } = await dist('heki/dist/audit/running-image.js');
const { buildText, checkBootVector, readBootVector, readSites } = await dist('patch-sites/dist/index.js');
const { packagedKernel } = await dist('machine/dist/index.js');
const subject = await openSubject(file, { vmlinux });
const { core, tables } = subject;
const running = runningImage(vmlinux, subject, await openNames(core, tables, undefined, { vmlinux }));
const { view, live, capabilities } = running;
const whole = view.range('', '_stext', '_etext') ?? view.range('.text');

/** The text made of the package and of what the guest would name, beside what is in its memory. */
function builtText() {
  const vector = readBootVector(view, whole, capabilities, live);
  const built = buildText(view, whole, vector);
  const PAGE = 4096;
  let other = 0;
  let different = 0;
  for (let at = whole.start; at < whole.end; at += PAGE) {
    const length = Math.min(PAGE, whole.end - at);
    const [now, made, was] = [live(at, length), built.bytes(at, length), view.bytes(at, length)];
    for (let byte = 0; byte < length; byte++) {
      if (now?.[byte] !== made?.[byte]) other++;
      if (now?.[byte] !== was?.[byte]) different++;
    }
  }
  const names = (values) => new Set(values).size;
  const elements = {
    'words of features': capabilities.length,
    'bits that a site asks for': names(
      [...readSites(view, whole)].flatMap(({ feature }) => (feature === undefined ? [] : [feature])),
    ),
    pointers: vector.pointers.size,
    constants: vector.constants.size,
    'static calls': vector.calls.size,
    'sites in another state than after boot': vector.sites.size,
    'return thunk': vector.returnThunk,
    'one processor': vector.oneProcessor,
  };
  return { vector, built, row: { differing: different, other, elements } };
}

/** What an owner of code has to do with it. */
function sealedKernel({ vector }) {
  const policy = {
    capabilities,
    cpuid: new Map(capabilities.map((word, index) => [index, word])),
    returnThunks: new Set([vector.returnThunk]),
    paravirt: () => true,
    isData: () => true,
    isModuleFunction: () => true,
  };
  const processors = vector.oneProcessor ? 1 : 2;
  const kernel = packagedKernel({ image: view, text: whole, policy, changeable: new Set() });
  const { image } = kernel.booted(vector);
  const count = (...kinds) => image.sites.filter(({ kind }) => kinds.includes(kind)).length;
  return {
    objections: checkBootVector(view, whole, vector, { ...policy, processors }).length,
    sites: image.sites.length,
    fentry: count('fentry'),
    'jump labels': count('jump-label'),
    'static calls': count('static-call', 'static-jump'),
    keys: new Set(image.sites.map(({ key }) => key)).size,
  };
}

/** Where a static call could be led by who may choose any function of the text. */
function functions({ built, vector }) {
  const ENDBR64 = 0xfa1e_0ff3;
  const begins = (image, at) => {
    const code = image.bytes(at, 4);
    return code !== undefined && new DataView(code.buffer, code.byteOffset, 4).getUint32(0, true) === ENDBR64;
  };
  const places = new Set();
  for (const [, at] of running.symbols.withPrefix(''))
    if (at >= whole.start && at < whole.end) places.add(at);
  const open = [...places].filter((at) => begins(view, at));
  // Only those keys count that the text calls through.
  const keys = new Set(
    [...readSites(view, whole)].flatMap(({ kind, key, at }) =>
      kind === 'static call' && key !== undefined && at >= whole.start && at < whole.end ? [key] : [],
    ),
  );
  const targets = [...keys].map((key) => vector.calls.get(key) ?? 0);
  const isText = (at) => at >= whole.start && at < whole.end;
  return {
    symbols: places.size,
    'with ENDBR': open.length,
    'of these sealed': open.filter((at) => !begins(built, at)).length,
    keys: keys.size,
    'lead into the text': targets.filter((at) => at !== 0 && isText(at)).length,
    'lead to modules': targets.filter((at) => at !== 0 && !isText(at)).length,
    'lead nowhere': targets.filter((at) => at === 0).length,
    'of trace points': [...keys].filter((key) =>
      view.symbols.at(key).some((name) => name.startsWith('__SCK__tp_func_')),
    ).length,
  };
}

const made = builtText();
const row = {
  ...{ dump, bytes, compared, differing, explained, unexplained },
  ...{ built: made.row, sealed: sealedKernel(made), functions: functions(made), modules },
};
const rowsFile = join(root, 'internal/docs/text-bytes.json');
const rows = JSON.parse(readFileSync(rowsFile, 'utf8')).filter((one) => one.dump !== dump);
rows.push(row);
rows.sort((a, b) => a.dump.localeCompare(b.dump, 'en', { numeric: true }));
writeFileSync(rowsFile, `${JSON.stringify(rows, undefined, 2)}\n`);
