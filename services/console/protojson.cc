// protojson: any message of the contract, by its full name, from and to JSON.
//
// libprotobuf converts; but its complaints name no line and little of the path. So the tree is walked beside
// the descriptors first, and whatever a person may have written wrongly is found and told there.
#include "protojson.h"

extern "C" {
#include "values/values.h"
}

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace pb = google::protobuf;

static const char *const url_prefix = "type.googleapis.com";

struct protojson {
    pb::DescriptorPool pool;
    pb::DynamicMessageFactory factory;
    std::unique_ptr<pb::util::TypeResolver> resolver;
};

// ----------------------------------------------------------------------------------------- the checking walk

// What is being walked, and the way from the outermost value to the present one.
struct walk {
    arena_t *arena;
    const struct source *source;
    std::vector<struct step> path;
    const char *why;
};

// "content.budget[1].lines", as people would say it.
static std::string path_text(const walk &walk)
{
    std::string text;

    for (const struct step &step : walk.path) {
        if (step.key != nullptr)
            text += (text.empty() ? "" : ".") + std::string(step.key);
        else
            text += "[" + std::to_string(step.index) + "]";
    }
    return text;
}

// Always false, so that `return complain(...)` reads well.
static bool complain(walk &walk, const std::string &what)
{
    size_t line = source_line(walk.source, source_find(walk.source, walk.path.data(), walk.path.size()));
    std::string path = path_text(walk);

    walk.why = arena_printf(walk.arena, "%s: %s%s%s", source_place(walk.arena, walk.source, line),
                            path.c_str(), path.empty() ? "" : " ", what.c_str());
    return false;
}

static const pb::FieldDescriptor *find_field(const pb::Descriptor *type, const char *key)
{
    const pb::FieldDescriptor *field = type->FindFieldByName(key);

    for (int i = 0; field == nullptr && i < type->field_count(); i++)
        if (type->field(i)->json_name() == key)
            field = type->field(i);
    return field;
}

static std::string known_fields(const pb::Descriptor *type)
{
    std::string text;

    for (int i = 0; i < type->field_count(); i++)
        text += (i == 0 ? "" : ", ") + type->field(i)->name();
    return text.empty() ? "none" : text;
}

static std::string known_words(const pb::EnumDescriptor *type)
{
    std::string text;

    for (int i = 0; i < type->value_count(); i++)
        if (type->value(i)->number() != 0)
            text += (text.empty() ? "" : ", ") + type->value(i)->name();
    return text;
}

static bool is_digits(const char *text)
{
    size_t sign = text[0] == '-';

    return text[sign] != '\0' && strspn(text + sign, "0123456789") == strlen(text + sign);
}

static bool is_instant(const pb::FieldDescriptor *field)
{
    const std::string &name = field->name();

    return field->cpp_type() == pb::FieldDescriptor::CPPTYPE_INT64 && name.size() > 3 &&
           name.compare(name.size() - 3, 3, "_us") == 0;
}

// A 64-bit number may be a string of digits (ProtoJSON), and an instant may be ISO 8601, which becomes a
// number here.
static bool check_long_text(walk &walk, const pb::FieldDescriptor *field, json_t *value)
{
    const char *text = json_string_value(value);
    int64_t at_us;

    if (is_digits(text))
        return true;
    if (!is_instant(field))
        return complain(walk, "must be a whole number, not \"" + std::string(text) + "\"");
    if (!instant_parse(text, &at_us))
        return complain(walk, "must be an instant with a zone such as \"2024-06-15T00:00:00+02:00\", "
                              "or microseconds since 1970, not \"" +
                                  std::string(text) + "\"");
    json_string_set(value, std::to_string(at_us).c_str());
    return true;
}

static bool check_number(walk &walk, const pb::FieldDescriptor *field, json_t *value)
{
    bool wide = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_INT64 ||
                field->cpp_type() == pb::FieldDescriptor::CPPTYPE_UINT64;
    bool is_signed = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_INT64 ||
                     field->cpp_type() == pb::FieldDescriptor::CPPTYPE_INT32;

    if (wide && json_is_string(value))
        return check_long_text(walk, field, value);
    if (!json_is_integer(value))
        return complain(walk, "must be a whole number");
    json_int_t number = json_integer_value(value);
    if (!is_signed && number < 0)
        return complain(walk, "must be 0 or above");
    if (!wide &&
        (number < INT32_MIN || number > (is_signed ? (json_int_t)INT32_MAX : (json_int_t)UINT32_MAX)))
        return complain(walk, "must be a number of at most 32 bits");
    return true;
}

static bool check_text(walk &walk, const pb::FieldDescriptor *field, json_t *value)
{
    if (!json_is_string(value))
        return complain(walk, field->type() == pb::FieldDescriptor::TYPE_BYTES ? "must be a string in base64"
                                                                               : "must be a string");
    for (const char *at = json_string_value(value); *at != '\0'; at++)
        if (((unsigned char)*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7F)
            return complain(walk, "contains a control character; only line feed and tab may stand in a text");
    return true;
}

static bool check_enum(walk &walk, const pb::FieldDescriptor *field, json_t *value)
{
    const pb::EnumDescriptor *type = field->enum_type();
    bool known = json_is_string(value)    ? type->FindValueByName(json_string_value(value)) != nullptr
                 : json_is_integer(value) ? type->FindValueByNumber((int)json_integer_value(value)) != nullptr
                                          : false;

    return known || complain(walk, "must be one of " + known_words(type));
}

static bool check_message(walk &walk, const pb::Descriptor *type, json_t *value);

static bool check_one(walk &walk, const pb::FieldDescriptor *field, json_t *value)
{
    switch (field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        return check_message(walk, field->message_type(), value);
    case pb::FieldDescriptor::CPPTYPE_ENUM:
        return check_enum(walk, field, value);
    case pb::FieldDescriptor::CPPTYPE_STRING:
        return check_text(walk, field, value);
    case pb::FieldDescriptor::CPPTYPE_BOOL:
        return json_is_boolean(value) || complain(walk, "must be true or false");
    case pb::FieldDescriptor::CPPTYPE_INT32:
    case pb::FieldDescriptor::CPPTYPE_UINT32:
    case pb::FieldDescriptor::CPPTYPE_INT64:
    case pb::FieldDescriptor::CPPTYPE_UINT64:
        return check_number(walk, field, value);
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
        return json_is_number(value) || complain(walk, "must be a number");
    }
    return false;
}

static bool check_field(walk &walk, const pb::FieldDescriptor *field, json_t *value)
{
    if (json_is_null(value))
        return complain(walk, "is null; leave the field out instead");
    if (!field->is_repeated())
        return check_one(walk, field, value);
    if (!json_is_array(value))
        return complain(walk, "must be a list in [ ]");
    for (size_t i = 0; i < json_array_size(value); i++) {
        walk.path.push_back({nullptr, i});
        if (!check_one(walk, field, json_array_get(value, i)))
            return false;
        walk.path.pop_back();
    }
    return true;
}

static bool check_message(walk &walk, const pb::Descriptor *type, json_t *value)
{
    std::vector<const pb::FieldDescriptor *> seen;
    const char *key;
    json_t *member;

    if (!json_is_object(value))
        return complain(walk, "must be an object in { }, a message " + type->full_name());
    json_object_foreach(value, key, member) {
        const pb::FieldDescriptor *field = find_field(type, key);
        walk.path.push_back({key, 0});
        if (field == nullptr)
            return complain(walk,
                            "is not a field of " + type->full_name() + ", which has " + known_fields(type));
        for (const pb::FieldDescriptor *other : seen)
            if (other == field)
                return complain(walk, "stands twice, under both its names");
        if (!check_field(walk, field, member))
            return false;
        seen.push_back(field);
        walk.path.pop_back();
    }
    return true;
}

// ------------------------------------------------------------------------------------------------ converting

static std::string url_of(const char *type)
{
    return std::string(url_prefix) + "/" + type;
}

// An empty message of the type; NULL when there is none of that name.
static std::unique_ptr<pb::Message> new_message(const protojson *protojson, const char *type)
{
    const pb::Descriptor *descriptor = protojson->pool.FindMessageTypeByName(type);
    // GetPrototype fills a cache of the factory, under its own lock; what it means does not change.
    auto &factory = const_cast<pb::DynamicMessageFactory &>(protojson->factory);

    return std::unique_ptr<pb::Message>(descriptor == nullptr ? nullptr
                                                              : factory.GetPrototype(descriptor)->New());
}

static bool to_canonical(const protojson *protojson, const char *type, const std::string &bytes,
                         std::string *ret)
{
    std::unique_ptr<pb::Message> message = new_message(protojson, type);

    return message != nullptr && message->ParseFromString(bytes) && message->SerializeToString(ret);
}

// A message is written in order of field numbers whatever the order in the JSON was, hence the detour over
// DynamicMessage.
static bool convert(protojson *protojson, walk &walk, const char *type, const json_t *value, std::string *ret)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    std::string bytes;

    auto status = pb::util::JsonToBinaryString(protojson->resolver.get(), url_of(type), text, &bytes);
    free(text);
    if (!status.ok())
        return complain(walk, "is not a " + std::string(type) + ": " + std::string(status.message()));
    return to_canonical(protojson, type, bytes, ret) || complain(walk, "is not a " + std::string(type));
}

// ---------------------------------------------------------------------------------------------------- public

extern "C" protojson_t *protojson_open(arena_t *arena, const char *path, const char **ret_why)
{
    std::ifstream file(path, std::ios::binary);
    pb::FileDescriptorSet set;

    if (!file) {
        *ret_why = arena_printf(arena, "cannot open the contract %s: %s", path, strerror(errno));
        return nullptr;
    }
    pb::SetLogHandler(nullptr);  // whoever asked tells a fault, in one sentence
    auto protojson = std::make_unique<struct protojson>();
    bool well = set.ParseFromIstream(&file);
    for (int i = 0; well && i < set.file_size(); i++)
        well = protojson->pool.BuildFile(set.file(i)) != nullptr;
    if (!well) {
        *ret_why = arena_printf(arena, "the contract %s is not a protobuf descriptor set", path);
        return nullptr;
    }
    protojson->resolver.reset(pb::util::NewTypeResolverForDescriptorPool(url_prefix, &protojson->pool));
    return protojson.release();
}

extern "C" void protojson_close(protojson_t **protojson_p)
{
    delete *protojson_p;
    *protojson_p = nullptr;
}

extern "C" bool protojson_knows(const protojson_t *protojson, const char *type)
{
    return protojson->pool.FindMessageTypeByName(type) != nullptr;
}

extern "C" bool protojson_encode(protojson_t *protojson, arena_t *arena, const char *type,
                                 const struct source *source, const char *key, uint8_t **ret,
                                 size_t *ret_size, const char **ret_why)
{
    walk walk = {arena, source, {}, nullptr};
    json_t *value = key == nullptr ? source->root : json_object_get(source->root, key);
    const pb::Descriptor *descriptor = protojson->pool.FindMessageTypeByName(type);
    std::string bytes;

    if (key != nullptr && value != nullptr && descriptor != nullptr)
        walk.path.push_back({key, 0});
    bool well = descriptor == nullptr
                    ? complain(walk, "there is no message " + std::string(type) + " in the contract")
                : value == nullptr ? complain(walk, std::string(key) + " is missing")
                                   : check_message(walk, descriptor, value);
    if (well && convert(protojson, walk, type, value, &bytes)) {
        *ret = static_cast<uint8_t *>(arena_copy(arena, bytes.data(), bytes.size()));
        *ret_size = bytes.size();
        return true;
    }
    *ret_why = walk.why;
    return false;
}

extern "C" char *protojson_decode(const protojson_t *protojson, arena_t *arena, const char *type,
                                  const void *bytes, size_t size, bool indented)
{
    pb::util::JsonPrintOptions options;
    std::string text;

    options.add_whitespace = indented;
    options.always_print_primitive_fields = true;
    options.preserve_proto_field_names = true;
    // The converter itself is content with half a message.
    std::unique_ptr<pb::Message> message = new_message(protojson, type);
    if (message == nullptr || !message->ParseFromArray(bytes, static_cast<int>(size)))
        return nullptr;
    auto status = pb::util::BinaryToJsonString(protojson->resolver.get(), url_of(type),
                                               std::string(static_cast<const char *>(bytes), size), &text,
                                               options);
    return status.ok() ? arena_text(arena, text.c_str()) : nullptr;
}

extern "C" bool protojson_canonical(const protojson_t *protojson, const char *type, const void *bytes,
                                    size_t size)
{
    std::string given(static_cast<const char *>(bytes), size);
    std::unique_ptr<pb::Message> message = new_message(protojson, type);
    std::string again;

    if (message == nullptr || !message->ParseFromString(given))
        return false;
    message->DiscardUnknownFields();
    return message->SerializeToString(&again) && again == given;
}
