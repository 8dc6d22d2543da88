// Bundles a Web Worker that reads a dump with @heki/vmcore, from the packages that are installed in the working directory, and runs it
// where there is nothing of Node. Prints what it posted and every warning of the bundler, as JSON.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { gunzipSync } from 'node:zlib';
import { build, createLogger } from 'vite';

const WORKER = `
import { blobSource, readVmcore, resolveKernelRoot } from '@heki/vmcore';
self.onmessage = ({ data }) => {
  const core = readVmcore(blobSource(data, new FileReaderSync()));
  const kernel = resolveKernelRoot(core);
  self.postMessage({ format: core.format, because: kernel.because });
};
`;

const folder = process.cwd();
writeFileSync(join(folder, 'worker.mjs'), WORKER);
const warnings = [];
const logger = createLogger('warn');
logger.warn = logger.warnOnce = (message) => warnings.push(message);
const built = await build({
  configFile: false,
  root: folder,
  logLevel: 'warn',
  customLogger: logger,
  build: {
    write: false,
    minify: false,
    lib: { entry: 'worker.mjs', formats: ['iife'], name: 'worker' },
    rolldownOptions: { onwarn: ({ message }) => warnings.push(message) },
  },
});
const [{ output }] = Array.isArray(built) ? built : [built];

/** A file that the page was given, and the reader that workers have. */
class File {
  constructor(bytes) {
    this.bytes = bytes;
    this.size = bytes.length;
  }
  slice(start, end) {
    return new File(this.bytes.subarray(start, end));
  }
}
class FileReaderSync {
  readAsArrayBuffer({ bytes }) {
    return Uint8Array.from(bytes).buffer;
  }
}

const posted = [];
const self = { postMessage: (message) => posted.push(message) };
const context = createContext({ self, FileReaderSync, TextDecoder, TextEncoder });
runInContext(output[0].code, context);
const dump = gunzipSync(readFileSync(join(folder, 'node_modules/@heki/vmcore/data/k61-256-nokaslr.elf.gz')));
self.onmessage({ data: new File(dump) });
process.stdout.write(
  JSON.stringify({ posted, warnings, files: output.length, bytes: output[0].code.length }),
);
