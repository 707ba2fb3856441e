// schema: checks documents against the official XML schemas, where the operator has put them
// (ISO20022_SCHEMAS).
#include "connector.h"
#include "bus/end.h"

#include <assert.h>
#include <libxml/parser.h>
#include <libxml/xmlschemas.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct schema {
    xmlSchemaPtr schema;
};

// The first thing that libxml2 says, in the arena.
struct first_fault {
    arena_t *arena;
    const char *fault;
};

static void keep_first(void *context, xmlErrorPtr error)
{
    struct first_fault *first = context;

    if (first->fault == NULL && error->message != NULL) {
        size_t size = strcspn(error->message, "\n");
        first->fault = arena_printf(first->arena, "line %d: %.*s", error->line,
                                    (int)(size < 300 ? size : 300), error->message);
    }
}

schema_t *schema_load(const char *folder, const char *name)
{
    char path[4096];

    if (folder == NULL || *folder == '\0')
        return NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (access(path, R_OK) != 0) {
        log_warn("the official schema is not there, files are checked for structure only", "path", path,
                 NULL);
        return NULL;
    }
    xmlSchemaParserCtxtPtr parser = xmlSchemaNewParserCtxt(path);
    xmlSchemaPtr parsed = parser != NULL ? xmlSchemaParse(parser) : NULL;
    xmlSchemaFreeParserCtxt(parser);
    if (parsed == NULL)
        bus_end("ISO20022_SCHEMAS: %s is not an XML schema that can be used", path);
    schema_t *schema = malloc(sizeof *schema);
    assert(schema != NULL);
    schema->schema = parsed;
    return schema;
}

void schema_destroy(schema_t **schema_p)
{
    if (*schema_p != NULL)
        xmlSchemaFree((*schema_p)->schema);
    free(*schema_p);
    *schema_p = NULL;
}

const char *schema_check(const schema_t *schema, arena_t *arena, void *document)
{
    struct first_fault first = {.arena = arena};

    if (schema == NULL)
        return NULL;
    xmlSchemaValidCtxtPtr valid = xmlSchemaNewValidCtxt(schema->schema);
    assert(valid != NULL);
    xmlSchemaSetValidStructuredErrors(valid, keep_first, &first);
    int found = xmlSchemaValidateDoc(valid, document);
    xmlSchemaFreeValidCtxt(valid);
    if (found == 0)
        return NULL;
    return first.fault != NULL ? first.fault : "it does not fit the official schema";
}

const char *schema_check_bytes(const schema_t *schema, arena_t *arena, ProtobufCBinaryData bytes)
{
    if (schema == NULL)
        return NULL;
    xmlDocPtr document = xmlReadMemory((const char *)bytes.data, (int)bytes.len, NULL, NULL,
                                       XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (document == NULL)
        return "it is not well-formed XML";
    const char *fault = schema_check(schema, arena, document);
    xmlFreeDoc(document);
    return fault;
}
