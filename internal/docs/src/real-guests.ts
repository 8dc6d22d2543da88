import { type Page, textBlock } from './page.ts';
import { printedWithFindings } from './printed.ts';

/** The first `count` lines of a report of the audit, without its picture of memory. */
async function audit(fixture: string, count: number): Promise<string> {
  const text = await printedWithFindings(['audit', `fixtures/${fixture}`, '--no-heki']);
  const lines = text.split('\n').filter((line) => !/^ *0x|^one character/.test(line));
  const apart = lines.filter((line, index) => line !== '' || lines[index - 1] !== '');
  return textBlock(apart.slice(0, count).join('\n').trimEnd().split('\n'));
}

const crashed = await audit('formats/kdump-makedumpfile.gz', 14);
const writable = await audit('k61-256-rodataoff.elf.gz', 18);

/** What kdump left of a machine. */
export const crashedMachinePage: Page = {
  file: 'docs/real-guests/crashed-machine.md',
  parts: { audit: () => crashed },
};

/** A kernel in continuous integration. */
export const ciJobPage: Page = {
  file: 'docs/real-guests/ci-job.md',
  parts: { audit: () => writable },
};
