import { readFileSync, writeFileSync } from 'node:fs';
import { attackMatrixPage } from './attack-matrix.ts';
import { attackScoresPicture } from './attack-scores.ts';
import { authenticatedCodePage } from './authenticated-code.ts';
import { backendsPage } from './backends.ts';
import { defectsPage } from './defects.ts';
import { layersPicture, packagesPicture } from './diagram.ts';
import { eptViolationPage } from './ept-violation.ts';
import { explorePage } from './explore.ts';
import { writeABackendPage, writeAnAttackPage } from './extend.ts';
import { findingPages, findingsPage } from './findings.ts';
import { knownAttacksPage } from './known-attacks.ts';
import { kvmPage } from './kvm.ts';
import { kvmApiPage } from './kvm-api.ts';
import { limitsPage } from './limits.ts';
import { guestPage } from './mapping-way.ts';
import { type Page, writeParts } from './page.ts';
import { readmePicture } from './readme.ts';
import { ciJobPage, crashedMachinePage, libvirtPage, runningQemuPage } from './real-guests.ts';
import { secondLevelPage } from './second-level.ts';
import { teachPage, tenMinutesPage, writeAScenarioPage } from './start.ts';
import { verdictsPage } from './verdicts.ts';
import { workloadsPage } from './workloads.ts';

/** Every page that has generated parts. */
const PAGES: readonly Page[] = [
  readmePicture,
  layersPicture,
  packagesPicture,
  tenMinutesPage,
  teachPage,
  secondLevelPage,
  eptViolationPage,
  guestPage,
  kvmPage,
  kvmApiPage,
  defectsPage,
  attackMatrixPage,
  backendsPage,
  workloadsPage,
  verdictsPage,
  writeAScenarioPage,
  writeABackendPage,
  writeAnAttackPage,
  findingsPage,
  ...findingPages,
  crashedMachinePage,
  libvirtPage,
  runningQemuPage,
  ciJobPage,
  explorePage,
  limitsPage,
  knownAttacksPage,
  authenticatedCodePage,
  attackScoresPicture,
];

/** Those that take minutes, and are written and checked only with `--long`. */
async function longPages(): Promise<readonly Page[]> {
  const { attacksPage } = await import('./attacks.ts');
  return [attacksPage];
}

/** What is read in the READMEs of packages, so that their edit does not make all pages anew: with `--fidelity`, and no others. */
async function readmePages(): Promise<readonly Page[]> {
  const { fidelityPage } = await import('./fidelity.ts');
  return [fidelityPage];
}

/** Writes the generated parts of every page, or with `--check` only says which are stale. The exit code. */
function main(pages: readonly Page[], check: boolean): number {
  let stale = 0;
  for (const page of pages) {
    const text = readFileSync(page.file, 'utf8');
    const written = writeParts(text, page);
    if (written === text) continue;
    stale++;
    if (!check) writeFileSync(page.file, written);
    console.log(check ? `${page.file} is stale: run pnpm docs` : `${page.file} written`);
  }
  if (stale === 0) console.log(`${pages.length} pages are as the model has them`);
  return check && stale > 0 ? 1 : 0;
}

async function pagesOf(options: readonly string[]): Promise<readonly Page[]> {
  if (options.includes('--long')) return longPages();
  return options.includes('--fidelity') ? readmePages() : PAGES;
}

process.exitCode = main(await pagesOf(process.argv), process.argv.includes('--check'));
