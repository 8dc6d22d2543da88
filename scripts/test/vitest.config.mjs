import { root } from '../../internal/launcher/src/root.mjs';
import { allTestsConfig } from '../../internal/vitest/index.mjs';

export default allTestsConfig(root);
