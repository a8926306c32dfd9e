import { writeFileSync } from 'node:fs';
import { document } from './document.ts';

writeFileSync(new URL('./README.md', import.meta.url), document());
