// describe: the tables of rows as JSON, for tests and for documents.
#include "service/loop.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *roles_of(uint64_t roles)
{
    json_t *list = json_array();
    for (int role = 0; role < 64; role++) {
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
            &bus__v1__actor__role__descriptor, role);
        if ((roles & (UINT64_C(1) << role)) && value)
            json_array_append_new(list, json_string(value->name));
    }
    return list;
}

static json_t *commands_of(const struct command_row *row)
{
    json_t *list = json_array();
    for (; row && row->on; row++)
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "type", row->on->name, "roles", roles_of(row->roles)));
    return list;
}

static json_t *queries_of(const struct query_row *row)
{
    json_t *list = json_array();
    for (; row && row->on; row++)
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "type", row->on->name, "roles", roles_of(row->roles)));
    return list;
}

static json_t *events_of(const struct event_row *row)
{
    json_t *list = json_array();
    for (; row && row->on; row++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "type", row->on->name, "kind", row->kind,
                                              "applied", row->apply != NULL));
    return list;
}

static json_t *heard_of(const struct heard_row *row)
{
    json_t *list = json_array();
    for (; row && row->on; row++)
        json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "type", row->on->name, "heard",
                                              row->hear != NULL, "reacted", row->react != NULL));
    return list;
}

static json_t *answers_of(const struct answer_row *row)
{
    json_t *list = json_array();
    for (; row && row->on; row++)
        json_array_append_new(list, json_string(row->on->name));
    return list;
}

static json_t *timers_of(const struct timer_row *row)
{
    json_t *list = json_array();
    for (; row && row->command; row++)
        json_array_append_new(list, json_string(row->command->name));
    return list;
}

static json_t *joined(json_t *one, json_t *other)
{
    json_array_extend(one, other);
    json_decref(other);
    return one;
}

int describe_main(const struct service *service)
{
    json_t *all = json_pack("{s:s, s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "service", service->name,
                            "rule_set", service->rule_set, "commands",
                            joined(commands_of(service->commands), commands_of(operate_commands)), "events",
                            joined(events_of(service->events), events_of(operate_events)), "heard",
                            heard_of(service->heard), "witness", service->witness != NULL, "queries",
                            joined(queries_of(service->queries), queries_of(operate_queries)), "answers",
                            answers_of(service->answers), "timers", timers_of(service->timers));

    json_dumpf(all, stdout, JSON_INDENT(2));
    puts("");
    json_decref(all);
    return 0;
}
