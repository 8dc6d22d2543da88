import { readFileSync, writeFileSync } from 'node:fs';
import { abiPage } from './abi.ts';
import { attackMatrixPage } from './attack-matrix.ts';
import { attackScoresPicture } from './attack-scores.ts';
import { attacksPage } from './attacks.ts';
import { authenticatedCodePage } from './authenticated-code.ts';
import { backendsPage } from './backends.ts';
import { defectsPage } from './defects.ts';
import { layersPicture, packagesPicture } from './diagram.ts';
import { eptViolationPage } from './ept-violation.ts';
import { explorePage } from './explore.ts';
import { writeABackendPage, writeAnAttackPage } from './extend.ts';
import { fidelityPage } from './fidelity.ts';
import { findingPages, findingsPage } from './findings.ts';
import { fleetPage } from './fleet.ts';
import { knownAttacksPage } from './known-attacks.ts';
import { kvmPage } from './kvm.ts';
import { kvmApiPage } from './kvm-api.ts';
import { limitsPage } from './limits.ts';
import { guestPage } from './mapping-way.ts';
import { type Page, writeParts } from './page.ts';
import { protectYourGuestPage } from './protect-your-guest.ts';
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
  protectYourGuestPage,
  teachPage,
  secondLevelPage,
  eptViolationPage,
  guestPage,
  kvmPage,
  kvmApiPage,
  abiPage,
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
  fleetPage,
  limitsPage,
  knownAttacksPage,
  authenticatedCodePage,
  attackScoresPicture,
];

/** Those that take minutes, and are written and checked only with `--long`. */
const LONG_PAGES: readonly Page[] = [attacksPage];

/** What is read in the READMEs of packages, so that their edit does not make all pages anew: with `--fidelity`, and no others. */
const README_PAGES: readonly Page[] = [fidelityPage];

/** Writes the generated parts of every page, or with `--check` only says which are stale. The exit code. */
async function main(pages: readonly Page[], check: boolean): Promise<number> {
  let stale = 0;
  for (const page of pages) {
    const text = readFileSync(page.file, 'utf8');
    const written = await writeParts(text, page);
    if (written === text) continue;
    stale++;
    if (!check) writeFileSync(page.file, written);
    console.log(check ? `${page.file} is stale: run pnpm docs` : `${page.file} written`);
  }
  if (stale === 0) console.log(`${pages.length} pages are as the model has them`);
  return check && stale > 0 ? 1 : 0;
}

/** @throws {Error} for a file that has no generated parts */
function pagesOf(args: readonly string[]): readonly Page[] {
  const files = args.filter((arg) => !arg.startsWith('--'));
  if (files.length > 0) {
    const all = [...PAGES, ...LONG_PAGES, ...README_PAGES];
    return files.map((file) => {
      const page = all.find((one) => one.file === file);
      if (page === undefined)
        throw new Error(`${file}: expected one of ${all.map((one) => one.file).join(', ')}`);
      return page;
    });
  }
  if (args.includes('--long')) return LONG_PAGES;
  return args.includes('--fidelity') ? README_PAGES : PAGES;
}

const args = process.argv.slice(2);
process.exitCode = await main(pagesOf(args), args.includes('--check'));
