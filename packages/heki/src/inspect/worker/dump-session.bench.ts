import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { bytesSource } from '@heki/vmcore';
import { compare } from '@heki-internal/bench';
import { openDumpSession } from './dump-session.ts';

const surroundings = { name: 'guest.elf', sidecar: undefined, tool: 'heki' };
const loaded = (name: string) => gunzipSync(readFileSync(`fixtures/${name}.elf.gz`));
const small = loaded('k61-256-kaslr');
const modules = loaded('k61-2g-allmods');

await compare({
  title: 'a dump that is loaded: its tables proven, its kernel audited, the page of it made',
  contenders: [
    { name: '256 MiB', run: () => openDumpSession([bytesSource(small)], surroundings).opened.page },
    {
      name: '2 GiB, 761 modules',
      run: () => openDumpSession([bytesSource(modules)], surroundings).opened.page,
    },
  ],
});
