/*
 * Packs pages of 4 KiB as makedumpfile does, by the libraries that it uses: the judge of our decoders.
 *
 *   cc -O2 pack-pages.c -o pack-pages -llzo2 -lsnappy -lzstd
 *   pack-pages lzo|lzo999|snappy|zstd < pages > packed     each: its size, 32 bits with the lowest first, and its bytes
 */
#include <lzo/lzo1x.h>
#include <snappy-c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { PAGE = 4096, ROOM = 8192 };

static int pack(const char *how, const unsigned char *page, unsigned char *packed, size_t *size)
{
	static unsigned char work[LZO1X_999_MEM_COMPRESS];
	lzo_uint length = 0;

	*size = ROOM;
	if (!strcmp(how, "lzo")) {
		if (lzo1x_1_compress(page, PAGE, packed, &length, work) != LZO_E_OK)
			return -1;
		*size = length;
		return 0;
	}
	if (!strcmp(how, "lzo999")) {
		if (lzo1x_999_compress(page, PAGE, packed, &length, work) != LZO_E_OK)
			return -1;
		*size = length;
		return 0;
	}
	if (!strcmp(how, "snappy"))
		return snappy_compress((const char *)page, PAGE, (char *)packed, size) == SNAPPY_OK ? 0 : -1;
	if (!strcmp(how, "zstd")) {
		*size = ZSTD_compress(packed, ROOM, page, PAGE, 1);
		return ZSTD_isError(*size) ? -1 : 0;
	}
	return -1;
}

int main(int argc, char **argv)
{
	unsigned char page[PAGE], packed[ROOM];

	if (argc != 2 || lzo_init() != LZO_E_OK)
		return 2;
	while (fread(page, PAGE, 1, stdin) == 1) {
		size_t size;
		uint32_t length;

		if (pack(argv[1], page, packed, &size) != 0)
			return 1;
		length = size;
		fwrite(&length, 4, 1, stdout);
		fwrite(packed, length, 1, stdout);
	}
	return 0;
}
